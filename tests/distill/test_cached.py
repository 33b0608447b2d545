"""The teacher answers once for each image that augmentation leaves as it is, and each time otherwise."""

from pathlib import Path

import pytest
import torch
from torch import nn

from kdsnn.distill import student
from kdsnn.distill.checkpoint import load_tensors
from kdsnn.distill.distiller import Distiller
from kdsnn.distill.learner import Answer, Watched
from kdsnn.distill.student import distill
from kdsnn.distill.trainer import Batch
from kdsnn.recipes.schema import Recipe
from tests.distill.small import NAME, recipe, small


def asked(augment: str, kind: str) -> Recipe:
    base = recipe()
    return base.model_copy(
        update={
            "data": base.data.model_copy(update={"augment": augment}),
            "distill": base.distill.model_copy(update={"kind": kind}),
        }
    )


@pytest.mark.parametrize(
    ("augment", "kind", "shown"),
    [("none", "response", 50), ("none", "per-step", 50), ("none", "feature", 150), ("affine", "response", 150)],
)
def test_how_many_images_the_teacher_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, augment: str, kind: str, shown: int
) -> None:
    seen = 0
    load = student.load_teacher

    def counted(*arguments: object) -> nn.Module:
        def count(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            nonlocal seen
            seen += len(inputs[0])

        teacher = load(*arguments)  # type: ignore[arg-type]
        teacher.register_forward_pre_hook(count)
        return teacher

    monkeypatch.setattr(student, "load_teacher", counted)
    distill(asked(augment, kind), run=tmp_path / "run", device="cpu")
    assert seen == shown


def test_a_kept_answer_is_that_of_its_image() -> None:
    data = small(NAME, Path()).train
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    index = torch.tensor([7, 0, 49])
    images = torch.tensor(data.images)[index].float() / 255
    batch = Batch(images, torch.tensor(data.labels)[index], index, 0.0)

    def student(_images: torch.Tensor) -> Answer:
        return Answer(torch.tensor([[[1.0, 0], [0, 1], [1, 1]], [[0, 0], [0, 1], [1, 0]]]), None, (), None, None)

    losses = [
        Distiller(recipe().distill, teacher, Watched(), unchanged)(student, batch)[0]  # type: ignore[arg-type]
        for unchanged in (None, data.images)
    ]
    torch.testing.assert_close(losses[0], losses[1])  # float32 sums of batches of other sizes


def test_the_run_is_nearly_the_same_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, init = [], Distiller.__init__
    for keep in (True, False):
        if not keep:
            monkeypatch.setattr(Distiller, "__init__", lambda self, s, t, p, _u: init(self, s, t, p))
        run = distill(asked("none", "response"), run=tmp_path / str(keep), device="cpu")
        weights.append(load_tensors(run / "student.safetensors"))
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-4)  # float32, through twelve steps
