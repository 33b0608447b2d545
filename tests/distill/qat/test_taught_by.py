"""Who teaches in fine-tuning: the teacher, the float student, or one after the other. The losses are numpy's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.distill.distiller import Distiller, Successor
from kdsnn.distill.learner import Answer, Watched
from kdsnn.distill.qat.training import finetune
from kdsnn.distill.trainer import Batch
from kdsnn.errors import RecipeError, UsageError
from kdsnn.recipes.schema import DistillSection, QuantizeSection
from kdsnn.steps.post_training import section_with
from tests.distill.qat.test_compared import ALL, Teacher, folded, settings, task

RNG = np.random.default_rng(5)
BATCH, CLASSES = 6, 3
LABELS = RNG.integers(0, CLASSES, BATCH)


def drawn(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(size=shape).astype(np.float32))


class Fixed(nn.Module):
    """Answers what it was made with."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _images: torch.Tensor) -> object:
        return self.answer


def answer() -> Answer:
    steps = (drawn(4, BATCH, CLASSES) > 0).float()
    return Answer(steps, drawn(4, BATCH, CLASSES), (), drawn(BATCH, 5), torch.tensor(3.0))


STUDENT, SUCCESSOR, LOGITS = answer(), answer(), drawn(BATCH, CLASSES)
TAU, ALPHA, SCALE = 2.0, 0.7, 5.0


def softmax(logits: np.ndarray) -> np.ndarray:
    made = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return made / made.sum(axis=-1, keepdims=True)


def response(logits: np.ndarray, teacher: np.ndarray) -> float:
    """ALPHA of the softened answers; the labels judge the rates, five times."""
    soft = -(TAU**2) * (softmax(teacher / TAU) * np.log(softmax(logits / TAU))).sum(axis=1).mean()
    rates = STUDENT.steps.numpy().mean(axis=0)
    task = -np.log(softmax(rates * SCALE)[np.arange(BATCH), LABELS]).mean()
    return float(ALPHA * soft + (1 - ALPHA) * task)


def lost(kind: str, progress: float) -> float:
    section = DistillSection(kind=kind, temperature=TAU, alpha=ALPHA, logit_scale=SCALE)
    distiller = Distiller(section, Fixed(LOGITS), Watched(drive=True), successor=Successor(Fixed(SUCCESSOR), 0.5))
    batch = Batch(torch.zeros(BATCH, 1, 2, 2), torch.from_numpy(LABELS), torch.arange(BATCH), progress)
    return float(distiller(Fixed(STUDENT), batch)[0])


def rates_of(known: Answer) -> np.ndarray:
    return known.steps.numpy().mean(axis=0) * SCALE


def drive_of(known: Answer) -> np.ndarray:
    return known.drive.numpy().mean(axis=0) * 3  # type: ignore[union-attr]


@pytest.mark.parametrize(("kind", "logits"), [("response", rates_of), ("drive", drive_of)])
def test_the_successor_teaches_by_what_the_loss_compares(kind: str, logits: object) -> None:
    ours, theirs = logits(STUDENT), logits(SUCCESSOR)  # type: ignore[operator]
    assert lost(kind, 0.49) == pytest.approx(response(ours, LOGITS.numpy()), rel=1e-5)
    assert lost(kind, 0.5) == pytest.approx(response(ours, theirs), rel=1e-5)


def test_features_of_the_successor_are_its_own() -> None:
    section = DistillSection(kind="feature", alpha=1.0, task="mse", pairs="classifier")
    watched = Watched(linear=("a", "b"), sizes=(5, 5), compared=True)
    distiller = Distiller(section, Fixed(LOGITS), watched, successor=Successor(Fixed(SUCCESSOR), 0.0))
    batch = Batch(torch.zeros(BATCH, 1, 2, 2), torch.from_numpy(LABELS), torch.arange(BATCH), 0.0)
    ours, theirs = STUDENT.read.numpy(), SUCCESSOR.read.numpy()  # type: ignore[union-attr]
    far = np.where((ours <= theirs) & (theirs <= 0), 0, (theirs - ours) ** 2).sum(axis=1).mean()
    rates = STUDENT.steps.numpy().mean(axis=0)
    task_part = ((rates - np.eye(CLASSES)[LABELS]) ** 2).sum(axis=1).mean()
    assert float(distiller(Fixed(STUDENT), batch)[0]) == pytest.approx(float(far + task_part), rel=1e-5)


@pytest.mark.parametrize("kind", ["both", "drive", "laf", "noise-smoothed", "temporal"])
def test_each_teacher_makes_another_network(kind: str, tmp_path: Path) -> None:
    made = set()
    for taught_by in ("teacher", "student", "both"):
        net, _ = folded()
        asked = settings(DistillSection(kind=kind, alpha=0.95))
        qat = asked.quantize.qat.model_copy(update={"taught_by": taught_by, "schedule": "constant", "lr": 0.1})
        asked = replace(asked, quantize=asked.quantize.model_copy(update={"qat": qat}), watched=ALL)
        finetune(net, asked, task(64), tmp_path / taught_by, teacher=Teacher(), device="cpu")
        made.add(net.to_integer()[0].fingerprint())
    assert len(made) == 3


def test_a_loss_without_a_teacher_refuses_a_student_that_teaches(tmp_path: Path) -> None:
    net, _ = folded()
    asked = settings(DistillSection(kind="none"), Watched())
    qat = asked.quantize.qat.model_copy(update={"taught_by": "student"})
    asked = replace(asked, quantize=asked.quantize.model_copy(update={"qat": qat}))
    with pytest.raises(RecipeError, match="the loss 'none' learns from no teacher"):
        finetune(net, asked, task(64), tmp_path, device="cpu")


def test_who_teaches_is_not_asked_where_nobody_learns() -> None:
    asked = {"weight_bits": None, "input_bits": None, "method": None, "qat_taught_by": "student"}
    with pytest.raises(UsageError, match="--qat-taught-by is for fine-tuning"):
        section_with(QuantizeSection(), qat_epochs=None, **asked)  # type: ignore[arg-type]
    made = section_with(QuantizeSection(), qat_epochs=2, **asked)  # type: ignore[arg-type]
    assert (made.qat.epochs, made.qat.taught_by) == (2, "student")
    with pytest.raises(UsageError, match="student"):
        section_with(QuantizeSection(), qat_epochs=2, **{**asked, "qat_taught_by": "nobody"})  # type: ignore[arg-type]
