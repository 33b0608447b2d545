"""Data that are in memory alone: a run keeps them, and goes wherever it is moved."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from kdsnn.data.sources.load import load_data
from kdsnn.distill.student import distill, load_student
from kdsnn.errors import InputError
from kdsnn.recipes.load import load_recipe
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.steps.quantize_run import quantize_run
from tests.distill.small import recipe, small


def test_a_run_keeps_what_was_in_memory(tmp_path: Path) -> None:
    made = small("", Path())
    images = np.concatenate([made.train.images, made.test.images])
    labels = np.concatenate([made.train.labels, made.test.labels])
    data = TensorDataset(torch.tensor(images) / 255, torch.tensor(labels))
    run = distill(recipe(), run=tmp_path / "run", data=data, device="cpu")
    wanted = load_data((images, labels))
    assert load_recipe(run / "recipe.toml").data.dataset == str(tmp_path / "run" / "data.npz")
    assert 'dataset = "data.npz"' in (run / "recipe.toml").read_text()
    shutil.move(run, tmp_path / "moved")
    prepared, _ = load_student(tmp_path / "moved")
    assert prepared.dataset.sha256 == prepared.recipe.data.sha256 == wanted.sha256
    quantize_run(str(tmp_path / "moved"), max_disagreement=1)
    shown = select_images(load(str(tmp_path / "moved")))
    assert np.array_equal(shown.images, wanted.test.images)
    assert distill(recipe(), run=tmp_path / "moved", data=data, resume=True, device="cpu") == tmp_path / "moved"
    other = TensorDataset(torch.tensor(images) / 255, torch.tensor(1 - labels))
    with pytest.raises(InputError, match="were changed since"):
        distill(recipe(), run=tmp_path / "moved", data=other, resume=True, device="cpu")
    with pytest.raises(InputError, match="holds a run already"):
        distill(recipe(), run=tmp_path / "moved", data=other, device="cpu")
    assert load_student(tmp_path / "moved")[0].dataset.sha256 == wanted.sha256
