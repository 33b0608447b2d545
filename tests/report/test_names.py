"""Names of classes and layers stand in figures and pages as they are: no formula, and none cut."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from matplotlib import rc_context

from kdsnn.export.nir import write_nir
from kdsnn.report.collect import collect
from kdsnn.report.drawings import draw_figure
from kdsnn.report.figures import accuracy_intervals, as_svg
from kdsnn.report.noise_curves import write
from kdsnn.report.page import render
from kdsnn.steps.compare import compare
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model, load
from kdsnn.targets.reference import ReferenceTarget
from tests.small_run import one_layer, small_run

CLASSES = (r"$\bad$", "0$ to 1$", "$a_b$", "$", "$$", r"\$", "<b>", "^", "%", "{x}")


@pytest.fixture
def named() -> Model:
    """An evaluated run whose classes look like formulas, and like other markup."""
    model = small_run()
    write_nir(replace(one_layer(), labels=CLASSES), model.path)
    model = load(str(model.run))
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=20))
    return model


def texts(svg: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", svg, re.S)]


def test_a_spike_sequence_names_the_classes(named: Model, tmp_path: Path) -> None:
    shown = texts(draw_figure("spike-sequence", named, tmp_path / "figure.svg").read_text())
    assert set(CLASSES) <= set(shown)


def test_the_pictures_of_a_page_hold_names_as_they_are() -> None:
    row = {"what": r"on gpu (path=$\bad$)", "accuracy": 0.5, "low": 0.4, "high": 0.6, "samples": 10}
    assert row["what"] in texts(as_svg(accuracy_intervals([row])))


def test_noise_curves_have_names_as_they_are_and_levels_as_numbers(tmp_path: Path) -> None:
    """Their levels span decades: the usual ticks of such an axis are formulas."""
    points = [{"level": x, "mean": 0.5, "spread": None} for x in (0.0, 0.001, 0.01, 0.1, 1.0)]
    names = (r"$\bad$, integer", r"$\bad$, float")
    curves = [{"network": name, "points": points} for name in names]
    data = {
        "networks": [{"name": name, "run": r"$\bad$", "fingerprint": "0"} for name in names],
        "noise": [{"kind": "gaussian", "level": "sigma", "curves": curves}],
        "samples": 10,
        "seeds": 1,
        "target": "gpu",
        "data": {"sha256": "0" * 64},
        "settings": {},
    }
    with rc_context({"svg.fonttype": "none"}):
        svg = write(data, tmp_path, tmp_path / "curves.svg").read_text()
    assert {*names, "0.001", "0.1", "1"} <= set(texts(svg))
    assert not [text for text in texts(svg) if "mathdefault" in text]


def test_a_run_that_is_named_by_a_dot_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_run()
    assert made.run is not None
    monkeypatch.chdir(made.run)
    model = load(".")
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=5))
    data = collect(model)
    assert data["run"] == "small"
    assert "kdsnn report small" in render(data)
    assert [row.name for row in compare(".", "model.nir", samples=5).rows] == ["small", "model.nir"]
