"""Time, static power and what is left out, by hand; and the models that say what they do not know."""

from dataclasses import replace

import pytest

from kdsnn.energy.deployment import Deployment, Traffic, Work, step_s
from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import EnergyModel, energy_model_names, load_energy_model
from kdsnn.energy.whole import never_known
from kdsnn.errors import InputError
from tests.energy.test_energy import HEAD, counts

LOIHI = load_energy_model("loihi1")
QUIET, BUSY = Work(0, 0, 100), Work(synops=1000, spikes=10, updates=50)
PLACED = Deployment(1, (QUIET, BUSY), 4, 3, {"a": Traffic(6, 2, 1)})
STEP_NS = 1000 * 3.5 + 10 * 8.4 + 40 * 5.3 + 113  # the busy core's, and the barrier of one tile


def test_a_step_takes_as_long_as_its_busiest_core_and_the_barrier() -> None:
    assert LOIHI.chip is not None
    assert step_s(LOIHI.chip, PLACED) == pytest.approx(1e-9 * STEP_NS)
    five = replace(PLACED, cores=(BUSY,) * 5)  # on two of 32 tiles
    assert step_s(LOIHI.chip, five) == pytest.approx(1e-9 * (STEP_NS + (465 - 113) / 31))
    assert step_s(LOIHI.chip, replace(PLACED, cores=(BUSY,) * 128)) == pytest.approx(1e-9 * (STEP_NS + 465 - 113))
    assert step_s(LOIHI.chip, replace(PLACED, chips=2)) is None


def test_static_power_is_charged_over_latency_and_between_samples() -> None:
    report = estimate(LOIHI, counts(spikes=4, neuron_updates=8), deployment=PLACED)
    dynamic = 4 * 81e-12 + 4 * 52e-12 + 6 * 1.7e-12 + 2 * 3e-12 + 1 * 4e-12
    assert report.dynamic_j_per_sample == pytest.approx(dynamic)
    assert sum(report.layers.values()) == pytest.approx(dynamic)
    watts = 3.34 / 32
    assert report.total_j_per_sample == pytest.approx(dynamic + watts * 7e-9 * STEP_NS)
    assert report.streaming_j_per_sample == pytest.approx(dynamic + watts * 4e-9 * STEP_NS)
    assert report.left_out == ()
    shown = str(report)
    assert f"static, alone (104.4 mW, 1 chip, {7e-3 * STEP_NS:.1f} µs)" in shown
    assert "synaptic operations, at least" in shown
    data = report.as_json()
    assert data["static"]["alone_j_per_sample"] == pytest.approx(watts * 7e-9 * STEP_NS)
    assert data["total_j_per_sample"] == report.total_j_per_sample


def test_where_a_network_is_not_placed_there_is_no_total() -> None:
    report = estimate(LOIHI, counts(spikes=4, neuron_updates=8))
    assert (report.total_j_per_sample, report.streaming_j_per_sample, report.static) == (None, None, None)
    assert "hops east or west" not in report.parts  # unknown is no zero
    assert [each.split(":")[0] for each in report.left_out] == ["messages to several cores, and hops", "static energy"]
    assert "Not in it: static energy" in str(report)


def test_several_chips_have_static_power_and_no_time() -> None:
    report = estimate(LOIHI, counts(spikes=4, neuron_updates=8), deployment=replace(PLACED, chips=3))
    assert report.total_j_per_sample is None
    assert "hops east or west" not in report.parts
    assert any("3 chips take 0.313 W" in each for each in report.left_out)
    assert any(each.startswith("hops: no figure is public for those between chips") for each in report.left_out)


def test_what_does_not_fit_the_chip_is_said() -> None:
    report = estimate(LOIHI, counts(spikes=1), deployment=replace(PLACED, problems=("if1: too large",)))
    assert report.left_out == ("what does not fit the chip: if1: too large",)
    assert (report.total_j_per_sample, report.streaming_j_per_sample) == (None, None)
    assert report.static is not None
    assert ("total, alone", None) in report.blocks()[0].rows


def own(*parts: str) -> EnergyModel:
    """A model of one's own that charges counts, and knows of nothing else."""
    part = {"energy_pj": 2}
    data = {"name": "m", "title": "t", "account": "a", "kind": "estimated", "source": "s", "date": "2026-11"}
    return EnergyModel.model_validate({**data, "parts": tuple({"name": p, "count": (p,), **part} for p in parts)})


@pytest.mark.parametrize("count", ["messages", "hops_east_west", "hops_north_south"])
def test_a_model_without_a_chip_that_charges_traffic_has_no_total(count: str) -> None:
    report = estimate(own("synops_dense", count), counts(synops_dense=3, spikes=2))
    assert (report.total_j_per_sample, report.streaming_j_per_sample) == (None, None)
    assert report.blocks()[0].rows[-1] == ("total", None)
    assert len(report.left_out) == 1
    assert estimate(own("synops_dense"), counts(synops_dense=3)).total_j_per_sample == pytest.approx(6e-12)


def test_a_chip_without_static_power_has_no_total_on_several_chips() -> None:
    model = LOIHI.model_copy(update={"static": None})
    counted = counts(spikes=4, neuron_updates=8)
    alone, several = (estimate(model, counted, deployment=replace(PLACED, chips=n)) for n in (1, 2))
    assert alone.total_j_per_sample == alone.dynamic_j_per_sample
    assert several.dynamic_j_per_sample is not None
    assert (several.total_j_per_sample, several.streaming_j_per_sample) == (None, None)


def test_a_leak_is_a_multiplication_and_weights_of_zero_cost_nothing_in_arithmetic() -> None:
    counted = counts(leak_updates=10, neuron_updates=10, input_macs=100, input_macs_effective=7)
    assert estimate(load_energy_model("cmos45"), counted).parts == pytest.approx(
        {
            "synaptic operations": 0,
            "input multiply-accumulates": 7 * 4.6e-12,
            "neuron updates": 10 * 0.9e-12,
            "leaks": 10 * 3.7e-12,
        }
    )
    assert estimate(load_energy_model("cmos45-int8"), counted).parts["leaks"] == pytest.approx(10 * 3.1e-12)


@pytest.mark.parametrize("name", energy_model_names())
def test_a_total_is_whole_or_there_is_none(name: str) -> None:
    model = load_energy_model(name)
    report = estimate(model, counts(spikes=4, synops_dense=10, neuron_updates=8), deployment=PLACED)
    assert (report.total_j_per_sample is None) == bool(model.missing)
    assert {each.split(":")[0] for each in report.left_out} == {each.term for each in model.missing}
    assert len({part.name for part in model.parts}) == len(model.parts)
    for constant in (*model.parts, *filter(None, (model.static, model.chip))):
        assert constant.source or model.source
    assert "total" in str(report)


def test_a_model_without_parts_says_that_its_dynamic_energy_is_not_known() -> None:
    report = estimate(load_energy_model("speck"), counts(spikes=4))
    assert (report.dynamic_j_per_sample, report.parts, report.layers) == (None, {}, {"a": 0})
    assert report.as_json()["dynamic_j_per_sample"] is None


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("[static]\nchip_w = 1", "static power takes a time: give a chip, or name time under missing"),
        ("[[missing]]\nterm='dynamic energy'\nwhy='w'", "dynamic energy is given, and stands under missing"),
        ("[[missing]]\nterm='time'\nwhy='w'\n[[missing]]\nterm='time'\nwhy='w'", "time stands under missing twice"),
        ("[[missing]]\nterm='love'\nwhy='w'", "missing.0.term: Input should be"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(tmp_path, more: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{HEAD}count=['spikes']\nenergy_pj=2\n{more}")
    with pytest.raises(InputError) as caught:
        load_energy_model(str(path))
    assert problem in str(caught.value)


def test_an_own_model_that_names_nothing_as_missing_is_whole() -> None:
    assert estimate(own("spikes"), counts(spikes=3)).total_j_per_sample == pytest.approx(6e-12)


@pytest.mark.parametrize("name", energy_model_names())
def test_a_model_that_never_has_a_total_says_so(name: str) -> None:
    model = load_energy_model(name)
    assert bool(never_known(model)) == bool(model.missing)


def test_whether_a_chip_has_a_total_is_not_known_before() -> None:
    assert never_known(LOIHI.model_copy(update={"static": None})) == ()
    assert len(never_known(own("messages"))) == 1
