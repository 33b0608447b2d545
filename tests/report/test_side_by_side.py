"""Several runs on one page: the same images, a row each, links that lead to each report."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import InputError
from kdsnn.report.side_by_side import write_side_by_side
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.targets.gpu import GpuTarget
from tests import oracles
from tests.small_run import small_run


def test_two_runs_side_by_side() -> None:
    models = [small_run("one"), small_run("other", seed=1)]
    for model in models:
        evaluate_model(model, GpuTarget("cpu"), select_images(model, samples=10))
    page = write_side_by_side(models)
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', page.read_text())
    assert [name for _, name in links] == ["one", "other"]
    assert all((page.parent / href).is_file() for href, _ in links)
    rows = json.loads((page.parent / "side-by-side.json").read_text())["rows"]
    shown = select_images(models[0])
    answers = [
        oracles.simulate_integer(model.network, shown.images)[0]["out"].sum(axis=1).argmax(axis=1) for model in models
    ]
    assert [row["accuracy"] for row in rows] == [(answer == shown.labels).mean() for answer in answers]
    assert rows[1]["agreement"] == np.mean(answers[0] == answers[1])


def test_a_run_that_was_not_evaluated_is_named() -> None:
    with pytest.raises(InputError, match="was not evaluated"):
        write_side_by_side([small_run("one"), small_run("other", seed=1)])


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    made = [small_run("a/same"), small_run("b/same", seed=1)]
    for model in made:
        evaluate_model(model, GpuTarget("cpu"), select_images(model, samples=10))
    page = write_side_by_side(made)
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', page.read_text())
    assert [name for _, name in links] == ["a/same", "b/same"]
    rows = json.loads((page.parent / "side-by-side.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["a/same", "b/same"]
    assert str(tmp_path) not in page.read_text()
