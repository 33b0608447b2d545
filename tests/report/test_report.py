"""A report shows the run's own network on its own test images, says of how many, and puts no two scales on one axis."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kdsnn.steps.images as images_module
from kdsnn.data.datasets import Split, load_dataset
from kdsnn.data.identity import identify_test
from kdsnn.errors import InputError
from kdsnn.export.nir import write_nir
from kdsnn.files.writing import write_json
from kdsnn.report.collect import collect
from kdsnn.report.page import render, write_report
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model, load
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget
from tests.small_run import input_macs, one_layer, small_run

LOIHI_SYNAPSE_J = 23.6e-12  # Davies et al. 2018, table 2


def evaluated(model: Model, samples: int | None, target: Any = None, images: Path | None = None) -> None:
    evaluate_model(model, target or ReferenceTarget(), select_images(model, samples=samples, images=images))


def noise_file(tmp_path: Path) -> Path:
    x = np.random.default_rng(1).integers(16, 256, (360, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", x=x, y=np.zeros(360, np.int64))
    return tmp_path / "noise.npz"


def figures(model: Model, accuracy: float = 0.5, **changes: Any) -> None:
    """Writes figures of quantization that are of this network, but for the changes."""
    assert model.run is not None
    known = {"fingerprint": model.network.fingerprint(), "float_accuracy": accuracy, "integer_accuracy": accuracy}
    write_json(model.run / "quantization.json", {**known, **changes})


def axes(data: dict[str, Any], label: str) -> list[str]:
    """The figures of the page on whose axis this stands: each with all its texts."""
    svgs = re.findall(r"<svg.*?</svg>", render(data), re.S)
    texts = [" | ".join(re.findall(r"<text[^>]*>(.*?)</text>", svg)) for svg in svgs]
    return [text for text in texts if label in text]


def test_energy_is_of_the_runs_own_images_whatever_else_was_evaluated(tmp_path: Path) -> None:
    model = small_run()
    evaluated(model, 100)
    evaluated(model, None, images=noise_file(tmp_path))  # more images, and brighter
    data = collect(model)
    macs = input_macs(select_images(model, samples=100).images)
    (loihi,) = (e for e in data["energy"] if e["model"] == "loihi1")
    assert loihi["parts"]["synaptic operations"] == pytest.approx(macs * LOIHI_SYNAPSE_J / 100)
    assert data["counted_on"]["samples"] == 100
    assert data["counted_on"]["data"]["name"] == "digits"
    assert [row["samples"] for row in data["targets"]] == [100]
    row = data["left_out"][-1]
    assert (row["what"], row["why"]) == ("evaluation on reference, 360 images of noise.npz", "of other images")
    assert (row["target"], row["samples"], row["fingerprint"]) == ("reference", 360, model.network.fingerprint())
    assert row["identity"]["data"]["name"] == "noise.npz"
    assert "100 test images" in render(data)
    assert "evaluation on reference, 360 images of noise.npz: of other images." in render(data)


def test_without_an_evaluation_of_its_own_images_there_is_no_report(tmp_path: Path) -> None:
    model = small_run()
    evaluated(model, None, images=noise_file(tmp_path))
    with pytest.raises(InputError, match="was not evaluated on its own test images") as raised:
        collect(model)
    assert list(raised.value.problems) == ["evaluation on reference, 360 images of noise.npz: of other images"]
    assert "kdsnn evaluate" in raised.value.hint


def test_evaluations_of_another_network_are_not_counted() -> None:
    model = small_run()
    evaluated(model, 300)
    write_nir(one_layer(seed=1), model.path)
    again = load(str(model.run))
    evaluated(again, 10)
    data = collect(again)
    assert data["fingerprint"] == again.network.fingerprint() != model.network.fingerprint()
    assert [row["samples"] for row in data["targets"]] == [10]
    assert data["counted_on"]["samples"] == 10
    row = data["left_out"][-1]
    assert (row["samples"], row["why"]) == (300, "of another network")
    assert row["fingerprint"] == model.network.fingerprint()


def test_evaluations_of_images_that_were_exchanged_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another release of a data set, or another data set, lies under the same name."""
    model = small_run()
    evaluated(model, 300)
    digits = load_dataset("digits")
    darker = replace(digits, test=Split(digits.test.images // 2, digits.test.labels))
    monkeypatch.setattr(images_module, "load_data", lambda name, *_: darker)
    evaluated(model, 10)
    data = collect(model)
    assert data["counted_on"]["samples"] == 10
    assert [(r["samples"], r["why"]) for r in data["left_out"][1:]] == [(300, "of other images than digits has now")]


def test_accuracies_of_test_images_that_were_exchanged_are_not_shown() -> None:
    model = small_run()
    evaluated(model, 5)
    own = identify_test(load_dataset("digits")).as_json()
    assert own == select_images(model).identity.as_json()
    known = {"accuracy": 0.75, "macs": 1000}
    for data, shown in ((own, [0.75, 0.5, 0.5]), ({**own, "sha256": "0" * 64}, [])):
        assert model.run is not None
        write_json(model.run / "teacher.json", {**known, "data": data})
        figures(model, 0.5, data=data)
        report = collect(model)
        assert [row["accuracy"] for row in report["accuracy"][:-1]] == shown
        assert [row["what"] for row in report["left_out"]] == ([] if shown else ["teacher.json", "quantization.json"])
        assert report["teacher"]["macs"] == 1000  # of a network, not of images


def noise(model: Model, **changes: Any) -> None:
    """A measurement under noise of this network on ten test images, but for the changes."""
    assert model.run is not None
    curve = {"network": "x, integer", "points": [{"level": 0.0, "mean": 0.5, "spread": None}]}
    known = {
        "networks": [{"name": "x, integer", "run": "small", "fingerprint": model.network.fingerprint()}],
        "noise": [{"kind": "gaussian", "level": "sigma", "curves": [curve]}],
        "dataset": "digits",
        "data": select_images(model, samples=10).identity.as_json(),
        "samples": 10,
        "seeds": 1,
        "target": "gpu",
        "settings": {},
    }
    write_json(model.run / "noise" / "gaussian-gpu-10.json", {**known, **changes})


def test_measurements_under_noise_are_of_this_network_and_these_images() -> None:
    model = small_run()
    evaluated(model, 5)
    noise(model)
    assert len(collect(model)["noise_measurements"]) == 1
    other = {**select_images(model, samples=10).identity.as_json(), "sha256": "0" * 64}
    another = [{"name": "x, integer", "run": "small", "fingerprint": "0" * 64}]
    for change, why in (({"data": other}, "of other images"), ({"networks": another}, "of another network")):
        noise(model, **change)
        data = collect(model)
        assert data["noise_measurements"] == []
        assert data["noise"] is None
        assert data["left_out"][-1]["why"] == why
        assert f"noise (gaussian) on gpu, 10 images of digits: {why}." in render(data)


def test_the_widest_evaluation_is_counted_and_every_figure_says_of_how_many() -> None:
    model = small_run()
    for samples in (5, 50):
        evaluated(model, samples)
    data = collect(model)
    assert data["counted_on"]["samples"] == 50
    assert {row["samples"] for row in data["accuracy"]} == {5, 50}
    shown = axes(data, "accuracy (%)")
    assert len(shown) == 2
    assert "interval, 50 images" in shown[0]
    assert "interval, 5 images" in shown[1]
    assert "Counted on reference, 50 test images" in render(data)


def test_models_of_other_accounts_stand_on_axes_of_their_own() -> None:
    model = small_run()
    evaluated(model, 5)
    shown = axes(collect(model), "estimated energy")
    assert len(shown) == 2
    assert sorted("loihi1" in text for text in shown) == [False, True]
    assert sorted("cmos45" in text for text in shown) == [False, True]


def test_two_settings_of_one_target_are_two_points() -> None:
    model = small_run()
    evaluated(model, 20, GpuTarget())
    evaluated(model, 20, GpuTarget(arithmetic="float32"))
    data = collect(model)
    assert {row["title"] for row in data["targets"]} == {"gpu", "gpu (arithmetic=float32)"}
    (shown,) = axes(data, "accuracy (%)")
    assert "on gpu (arithmetic=float32)" in shown
    assert re.search(r"on gpu( \||$)", shown)


def test_figures_of_quantization_are_of_this_network_or_left_out() -> None:
    model = small_run()
    evaluated(model, 5)
    figures(model, 0.625)
    data = collect(model)
    assert [row["accuracy"] for row in data["accuracy"][:2]] == [0.625, 0.625]
    assert [row["samples"] for row in data["accuracy"][:2]] == [360, 360]
    assert data["left_out"] == []
    figures(model, 0.625, fingerprint="0" * 64)  # as after a stop between the two files
    data = collect(model)
    assert [row["what"] for row in data["accuracy"]] == ["on reference"]
    assert data["left_out"][0]["what"] == "quantization.json"
    assert data["left_out"][0]["why"].startswith("missing, or of another network")
    assert "quantization.json: missing, or of another network" in render(data)


def test_the_files_of_a_report_name_no_path_of_this_machine(tmp_path: Path) -> None:
    model = small_run()
    evaluated(model, 5)
    page = write_report(model)
    assert json.loads((page.parent / "report.json").read_text()) == collect(model)
    for path in (page, page.parent / "report.json"):
        assert str(tmp_path) not in path.read_text()
