"""The losses against formulas written out in numpy."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from kdsnn.distill.losses import LOSSES, alone_loss, response_loss
from kdsnn.recipe import DistillSection

FloatArray = npt.NDArray[np.float64]


def softmax(x: FloatArray) -> FloatArray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(student: FloatArray, target: FloatArray) -> float:
    return float(-(target * np.log(softmax(student))).sum(axis=1).mean())


def logits(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 3, (6, 4))


LABELS = np.array([0, 1, 2, 3, 1, 1])


@pytest.mark.parametrize("tau", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_papers_formula(tau: float, alpha: float) -> None:
    student, teacher = logits(1), logits(2)
    soft = cross_entropy(student / tau, softmax(teacher / tau))
    expected = alpha * tau**2 * soft + (1 - alpha) * cross_entropy(student, np.eye(4)[LABELS])
    section = DistillSection(temperature=tau, alpha=alpha)
    got = response_loss(torch.from_numpy(student), torch.from_numpy(teacher), torch.from_numpy(LABELS), section)
    assert float(got) == pytest.approx(expected, rel=1e-12)  # float64 on both sides, summed in another order


def test_the_gradient_pulls_towards_the_teacher_alone_when_alpha_is_one() -> None:
    student = torch.from_numpy(logits(1)).requires_grad_()
    teacher = torch.from_numpy(logits(2))
    section = DistillSection(temperature=2.0, alpha=1.0)
    response_loss(student, teacher, torch.from_numpy(LABELS), section).backward()
    expected = 2.0 * (softmax(logits(1) / 2) - softmax(logits(2) / 2)) / 6  # tau^2 / tau, mean over the batch
    assert student.grad is not None
    assert np.allclose(student.grad.numpy(), expected, rtol=1e-12, atol=1e-15)  # float64


def test_alone_is_the_plain_cross_entropy() -> None:
    student = torch.from_numpy(logits(1))
    got = alone_loss(student, torch.zeros_like(student), torch.from_numpy(LABELS), DistillSection(kind="none"))
    assert float(got) == pytest.approx(cross_entropy(logits(1), np.eye(4)[LABELS]), rel=1e-12)


def test_every_kind_of_a_recipe_has_its_loss() -> None:
    kinds = DistillSection.model_fields["kind"].annotation
    assert set(LOSSES) == set(kinds.__args__)  # type: ignore[union-attr]
