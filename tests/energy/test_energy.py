"""Energy models: the published check, the arithmetic by hand, and wrong files."""

from pathlib import Path

import pytest

from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import energy_model_names, load_energy_model
from kdsnn.errors import InputError, UsageError
from kdsnn.network.counters import FIELDS, Counts, LayerCounts

PART = "[[parts]]\nname='p'\n"
HEAD = f"title='x'\naccount='a'\nkind='simulated'\nsource='s'\ndate='2020-01'\n{PART}"


def counts(**fields: int) -> Counts:
    return Counts(1, (LayerCounts(name="a", kind="dense", **{"neurons": 1, **dict.fromkeys(FIELDS, 0), **fields}),))


@pytest.mark.parametrize(("events", "millijoules"), [(51_200_000, 1.448), (57_600_000, 1.599)])
def test_loihi1_gives_the_published_prediction_of_frady_2020(events: int, millijoules: float) -> None:
    """Frady et al. 2020 measured 1.33 mJ for this work; Davies' constants predict 1.448 to 1.599 mJ."""
    report = estimate(load_energy_model("loihi1"), counts(synops_dense=events, neuron_updates=4_608_000))
    assert 1e3 * report.dynamic_j_per_sample == pytest.approx(millijoules, abs=5e-4)  # the figures have four digits
    assert 1.08 < 1e3 * report.dynamic_j_per_sample / 1.33 < 1.21


def test_loihi1_by_hand() -> None:
    report = estimate(load_energy_model("loihi1"), counts(spikes=10, synops_dense=100, input_macs=7, neuron_updates=40))
    picojoules = {
        "synaptic operations": 107 * 23.6,
        "active neuron updates": 10 * 81.0,
        "inactive neuron updates": 30 * 52.0,
        "spikes within a tile": 10 * 1.7,
    }
    assert report.parts == pytest.approx({name: 1e-12 * pj for name, pj in picojoules.items()})
    assert report.teacher_j_per_sample is None


def test_cmos45_gives_the_teacher_its_multiply_accumulates() -> None:
    report = estimate(load_energy_model("cmos45"), counts(synops_effective=1000), teacher_macs=10**6)
    assert report.teacher_j_per_sample == pytest.approx(4.6e-6)
    assert report.total_j_per_sample == pytest.approx(0.9e-9)


def test_figures_are_per_sample_and_layers_add_up() -> None:
    one = counts(spikes=4, synops_dense=10, synops_effective=9, input_macs=3, neuron_updates=8)
    for name in energy_model_names():
        model = load_energy_model(name)
        twice = estimate(model, one + one)
        assert twice.parts == pytest.approx(estimate(model, one).parts)
        assert sum(twice.layers.values()) == pytest.approx(twice.dynamic_j_per_sample or 0)
        assert model.source
        assert model.date
        assert model.kind in ("simulated", "estimated")


def test_an_unknown_model_suggests_a_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'loihi1'"):
        load_energy_model("lohi1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title = ", "is not TOML"),
        ("title = 'x'", "account: this key is needed"),
        (
            f"{HEAD}count=['spiks']\nenergy_pj=1",
            "parts.0.count.0: Input should be",
        ),
        (f"{HEAD}count=['spikes', 'synops_dense', 'spikes']\nenergy_pj=1", "spikes is named more than once"),
        (f"{HEAD}count=['spikes']\nenergy_pj=-1", "energy_pj: Input should be greater than or equal to 0"),
        (f"{HEAD}count=['spikes']\nenergy_pj=nan", "energy_pj: Input should be a finite number"),
        (f"{HEAD}count=['spikes']\nenergy_pj=inf", "energy_pj: Input should be a finite number"),
        (f"{HEAD}count=[]\nenergy_pj=1", "parts.0.count: Tuple should have at least 1 item"),
        (f"{HEAD}count=['spikes']\nenergy_pj=1\n{PART}count=['spikes']\nenergy_pj=2", "two parts are called 'p'"),
        (
            HEAD.replace("simulated", "measured") + "count=['spikes']\nenergy_pj=1",
            "kind: Input should be 'simulated' or 'estimated'",
        ),
        (HEAD.replace(PART, "parts=[]"), "there are no parts, and dynamic energy does not stand under missing"),
        (
            HEAD.replace("source='s'", "source=''") + "count=['spikes']\nenergy_pj=1",
            "source: String should have at least 1",
        ),
        (
            HEAD.replace("date='2020-01'", "date='soon'") + "count=['spikes']\nenergy_pj=1",
            "date: String should match pattern",
        ),
        (
            HEAD.replace("title='x'", "title='x'\ncolour='red'") + "count=['spikes']\nenergy_pj=1",
            "colour: there is no such key",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_energy_model(str(path))
    assert problem in str(caught.value)


def test_ones_own_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{HEAD}count=['spikes']\nenergy_pj=2")
    assert estimate(load_energy_model(str(path)), counts(spikes=3)).parts == {"p": pytest.approx(6e-12)}
