"""Training images without labels: only the teacher says what they show."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from kdsnn.data.datasets import load_dataset
from kdsnn.distill.checkpoint import load_tensors
from kdsnn.distill.preparation import for_teacher, prepare
from kdsnn.distill.student import distill
from kdsnn.errors import RecipeError
from kdsnn.recipes.schema import DataSection, Recipe
from tests.distill.small import NAME, recipe


def asked(kind: str = "response", **data: object) -> Recipe:
    base = recipe()
    return base.model_copy(
        update={
            "data": base.data.model_copy(update={"train_samples": 20, **data}),
            "distill": base.distill.model_copy(update={"kind": kind}),
        }
    )


@pytest.mark.parametrize(("wanted", "count"), [("all", 25), (7, 7)])
def test_what_is_left_is_shown_without_labels_and_the_teacher_has_none_of_it(wanted: object, count: int) -> None:
    labelled = prepare(asked(validation_samples=5)).split
    prepared = prepare(asked(unlabelled_samples=wanted, validation_samples=5))
    split = prepared.split
    assert np.array_equal(split.images[:20], labelled.images)
    assert np.array_equal(split.labels[:20], labelled.labels)
    assert split.labels[20:].tolist() == [-1] * count
    shown = [image.tobytes() for image in split.images]
    assert prepared.held_out is not None
    held_out = {image.tobytes() for image in prepared.held_out.images}
    assert len(set(shown)) == 20 + count
    assert not held_out & set(shown)
    assert set(shown) <= {image.tobytes() for image in load_dataset(NAME).train.images}
    assert np.array_equal(for_teacher(prepared).split.images, labelled.images)


def test_the_student_learns_from_them_and_only_labels_are_counted_as_right(tmp_path: Path) -> None:
    runs = {
        what: distill(asked(unlabelled_samples=what), run=tmp_path / str(what), device="cpu") for what in (None, 30)
    }
    with_them, without = (load_tensors(runs[what] / "student.safetensors") for what in (30, None))
    assert not torch.equal(with_them["layers.conv1.weight"], without["layers.conv1.weight"])
    for run in runs.values():
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["accuracy"] * 20 == pytest.approx(round(last["accuracy"] * 20))  # of the labelled images alone


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the loss 'none' learns nothing without labels"):
        distill(asked("none", unlabelled_samples=5), run=tmp_path / "run")
    with pytest.raises(RecipeError, match="31 images cannot be taken of 30 that are left"):
        distill(asked(unlabelled_samples=31), run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValidationError, match="images that train_samples leaves"):
        DataSection(unlabelled_samples=5)
