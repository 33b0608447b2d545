"""`kdsnn compare`: figures beside each other, and a gate that fails a pipeline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kdsnn
from kdsnn.errors import InputError, UsageError, VerificationError
from kdsnn.export.nir import write_nir
from kdsnn.network import Dense, Neuron
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.targets.reference import ReferenceTarget
from tests.cli.conftest import Cli
from tests.small_run import one_layer, small_run


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Model, Path]:
    """A run, and a file whose weights are halved: other predictions, and other energy."""
    monkeypatch.chdir(tmp_path)
    network = one_layer()
    (projection,) = network.projections
    weight = (projection.op.weight // 2).astype(np.int16)
    weight[:, ::2] = 0
    write_nir(replace(network, projections=(replace(projection, op=Dense(weight)),)), tmp_path / "other.nir")
    return small_run("before"), tmp_path / "other.nir"


def predictions(model: Model, samples: int) -> tuple[np.ndarray, np.ndarray]:
    shown = select_images(model, samples=samples)
    assert shown.labels is not None
    return ReferenceTarget().compile(model.network).run(shown.images).predictions, shown.labels


def test_figures_are_those_of_each_network_on_the_same_images(cli: Cli, pair: tuple[Model, Path]) -> None:
    model, file = pair
    done = cli("compare", model.run, file, "-n", 40, "-t", "gpu", "-t", "reference", "--json")
    assert done.code == 0, done.err
    first, second, third, fourth = done.json["rows"]
    assert [(r["name"], r["target"]) for r in (first, second)] == [("before", "gpu"), ("before", "reference")]
    assert [(r["name"], r["target"]) for r in (third, fourth)] == [("other.nir", "gpu"), ("other.nir", "reference")]
    other = kdsnn.load(file)
    mine, labels = predictions(model, 40)
    theirs = ReferenceTarget().compile(other.network).run(select_images(model, samples=40).images).predictions
    assert (first["accuracy"], third["accuracy"]) == pytest.approx(((mine == labels).mean(), (theirs == labels).mean()))
    assert first["agreement"] is None
    assert (second["agreement"], third["agreement"]) == pytest.approx((1.0, (mine == theirs).mean()))
    assert (first["weights"], first["nonzero_weights"]) == (640, 640)
    assert third["nonzero_weights"] == int((other.network.projections[0].op.weight != 0).sum()) < 640
    alone = cli("energy", model.run, "-n", 40, "--json").json["energy"]
    assert first["energy"]["total_j_per_sample"] == pytest.approx(alone["total_j_per_sample"])
    assert first["latency_s"] == pytest.approx(alone["static"]["latency_s"])
    assert done.json["failures"] == []
    shown = cli("compare", model.run, file, "-n", 40).out
    for said in ("before", "other.nir", "same predictions as the first", "latency, µs", "float → integer: not checked"):
        assert said in shown
    assert not (model.path.parent / "evaluations").exists()  # runs keep nothing of it


@pytest.mark.parametrize(("limit", "code"), [("0.5", 0), ("0", 4)])
def test_a_pipeline_fails_where_accuracy_falls_too_far(
    cli: Cli, pair: tuple[Model, Path], limit: str, code: int
) -> None:
    model, file = pair
    accuracies = [row["accuracy"] for row in cli("compare", model.run, file, "-n", 200, "--json").json["rows"]]
    first, second = (model.run, file) if accuracies[0] > accuracies[1] else (file, model.run)
    done = cli("compare", first, second, "-n", 200, "--dataset", "digits", "--max-accuracy-drop", limit)
    assert done.code == code, done.err
    assert ("accuracy falls by" in done.err) == (code == 4)
    assert ("EXCEEDS A LIMIT" in done.out) == (code == 4)
    assert cli("compare", second, first, "-n", 200, "--dataset", "digits", "--max-accuracy-drop", limit).code == 0


def test_a_pipeline_fails_where_energy_rises_too_far(cli: Cli, pair: tuple[Model, Path]) -> None:
    model, file = pair
    rows = cli("compare", model.run, file, "-n", 40, "--model", "cmos45", "--json").json["rows"]
    before, after = (row["energy"]["total_j_per_sample"] for row in rows)
    assert after < 0.9 * before  # half of the weights are zero
    rise = before / after - 1
    back = ("compare", file, model.run, "-n", 40, "--dataset", "digits", "--model", "cmos45", "--max-energy-rise")
    assert cli(*back, rise + 1e-6).code == 0
    done = cli(*back, rise - 1e-3, "--json")
    assert done.code == 4
    (failure,) = done.json["failures"]
    assert f"energy per sample rises by {100 * rise:.1f}%" in failure
    assert "rises by" in done.err
    assert cli(*back, 0).code == 4


def test_a_limit_on_a_figure_that_is_not_known_is_no_success(cli: Cli, pair: tuple[Model, Path]) -> None:
    model, file = pair
    done = cli("compare", model.run, file, "-n", 5, "--model", "spinnaker2", "--max-energy-rise", 1)
    assert done.code == 2
    assert "static power" in done.err
    np.save("plain.npy", np.zeros((3, 1, 8, 8), np.uint8))
    done = cli("compare", model.run, file, "--images", "plain.npy", "--max-accuracy-drop", 0)
    assert done.code == 2
    assert "labels" in done.err


HOPS = """
title = "t"
account = "a"
kind = "estimated"
source = "s"
date = "2026-11"
[[parts]]
name = "hops"
count = ["synops_dense", "hops_east_west"]
energy_pj = 1
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "spinnaker2", "--max-energy-rise", 1), "static power"),
        (("--model", "xylo", "--max-energy-rise", 1), "dynamic energy"),
        (("--model", "hops.toml", "--max-energy-rise", 1), "hops: the network is not placed"),
        (("--images", "plain.npy", "--max-accuracy-drop", 0), "labels"),
    ],
)
def test_a_limit_that_no_figure_can_answer_costs_no_run(
    cli: Cli, pair: tuple[Model, Path], monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], said: str
) -> None:
    model, file = pair
    Path("hops.toml").write_text(HOPS)
    np.save("plain.npy", np.zeros((3, 1, 8, 8), np.uint8))
    ran: list[object] = []
    monkeypatch.setattr("kdsnn.steps.compare.evaluate_model", lambda *_, **__: ran.append(0))
    done = cli("compare", model.run, file, "-n", 2, *arguments)
    assert (done.code, ran) == (2, [])
    assert said in done.err


@pytest.mark.parametrize("limit", ["max_accuracy_drop", "max_energy_rise"])
@pytest.mark.parametrize("share", ["inf", "nan", "-0.1"])
def test_a_limit_that_is_no_share_is_refused(cli: Cli, pair: tuple[Model, Path], limit: str, share: str) -> None:
    model, file = pair
    done = cli("compare", model.run, file, f"--{limit.replace('_', '-')}={share}", "-n", 2, "--json")
    assert (done.code, done.out) == (2, "")
    with pytest.raises(UsageError, match="must be a finite share"):
        kdsnn.compare(file, model, **{limit: float(share)})


def test_what_cannot_be_compared_is_refused(pair: tuple[Model, Path], tmp_path: Path) -> None:
    model, _ = pair
    with pytest.raises(UsageError, match="nothing to compare"):
        kdsnn.compare(model)
    named = replace(model.network, labels=tuple("abcdefghij"))
    write_nir(named, tmp_path / "named.nir")
    with pytest.raises(InputError, match="other classes"):
        kdsnn.compare(model, tmp_path / "named.nir")


def test_from_python_the_table_comes_before_the_error(pair: tuple[Model, Path]) -> None:
    model, file = pair
    found = kdsnn.compare(file, model, energy_model="cmos45", dataset="digits", samples=20, max_energy_rise=0.0)
    assert len(found.rows) == 2
    assert "<table>" in found._repr_html_()
    with pytest.raises(VerificationError, match="exceeds a limit") as caught:
        found.check()
    assert caught.value.problems == found.failures


def test_a_network_that_does_not_fit_the_chip_passes_no_limit_on_energy(cli: Cli, pair: tuple[Model, Path]) -> None:
    model, file = pair
    network = kdsnn.load(file).network
    neuron = Neuron(3000, np.zeros(10, np.int32), reset_by=64 * 3000)  # Loihi 1 has no reset by subtraction
    other = replace(network.populations[1], model=neuron)
    write_nir(replace(network, populations=(network.populations[0], other)), file)
    for first, second in ((model.run, file), (file, model.run)):
        done = cli("compare", first, second, "-n", 2, "--dataset", "digits", "--max-energy-rise", 1e6)
        assert done.code == 2
        assert "does not know all of it here: what does not fit the chip: small: uses 'subtract-reset'" in done.err
