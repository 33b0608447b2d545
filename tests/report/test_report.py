"""A report shows the run's own network on its own test images, says of how many, and puts no two scales on one axis."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdsnn.errors import InputError
from kdsnn.export.nir import write_nir
from kdsnn.report.collect import collect
from kdsnn.report.page import render, write_report
from kdsnn.run_folders import write_json
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model, open_model
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
    texts = [" | ".join(re.findall(r"<!-- (.*?) -->", svg)) for svg in svgs]
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
    assert data["left_out"][-1].startswith("Evaluations of other networks or images in this run: 1.")
    assert "100 test images" in render(data)


def test_without_an_evaluation_of_its_own_images_there_is_no_report(tmp_path: Path) -> None:
    model = small_run()
    evaluated(model, None, images=noise_file(tmp_path))
    with pytest.raises(InputError, match="1 evaluations are of other networks or images") as raised:
        collect(model)
    assert "kdsnn evaluate" in raised.value.hint


def test_evaluations_of_another_network_are_not_counted() -> None:
    model = small_run()
    evaluated(model, 300)
    write_nir(one_layer(seed=1), model.path)
    again = open_model(str(model.run))
    evaluated(again, 10)
    data = collect(again)
    assert data["fingerprint"] == again.network.fingerprint() != model.network.fingerprint()
    assert [row["samples"] for row in data["targets"]] == [10]
    assert data["counted_on"]["samples"] == 10


def test_the_widest_evaluation_is_counted_and_every_figure_says_of_how_many() -> None:
    model = small_run()
    for samples in (5, 50):
        evaluated(model, samples)
    data = collect(model)
    assert data["counted_on"]["samples"] == 50
    assert {row["samples"] for row in data["accuracy"]} == {5, 50}
    shown = axes(data, "accuracy (%)")
    assert len(shown) == 2
    assert "accuracy (%), 50 images" in shown[0]
    assert "accuracy (%), 5 images" in shown[1]
    assert "Counted on reference, 50 test images" in render(data)


def test_models_of_other_accounts_stand_on_axes_of_their_own() -> None:
    model = small_run()
    evaluated(model, 5)
    shown = axes(collect(model), "estimated energy")
    assert len(shown) == 2
    assert sorted("loihi1" in text for text in shown) == [False, True]
    assert sorted("cmos45" in text for text in shown) == [False, True]


def test_two_settings_of_one_target_are_two_bars() -> None:
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
    assert data["left_out"][0].startswith("quantization.json is missing, or of another network")
    assert data["left_out"][0].split(":")[0] in render(data)


def test_the_files_of_a_report_name_no_path_of_this_machine(tmp_path: Path) -> None:
    model = small_run()
    evaluated(model, 5)
    page = write_report(model)
    assert json.loads((page.parent / "report.json").read_text()) == collect(model)
    for path in (page, page.parent / "report.json"):
        assert str(tmp_path) not in path.read_text()
