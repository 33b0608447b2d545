"""Terms that several losses are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from kdsnn.distill.losses.loss import Seen
from kdsnn.recipes.schema import DistillSection

__all__ = ["feature_term", "response_term", "task_term"]


def response_term(rates: torch.Tensor, seen: Seen, section: DistillSection) -> torch.Tensor:
    """Alpha * the teacher's softened answer + (1 - alpha) * the labels, for rates `(B, classes)`."""
    return section.alpha * _soft(rates, seen.teacher, section) + (1 - section.alpha) * task_term(
        rates, seen.labels, section
    )


def task_term(rates: torch.Tensor, labels: torch.Tensor, section: DistillSection) -> torch.Tensor:
    """`ce` of the logits, or `mse`: the squared error of the rates, summed over the classes."""
    smoothing, classes = section.label_smoothing, rates.shape[1]
    if section.task == "mse":
        return _squared(rates, F.one_hot(labels, classes).to(rates.dtype) * (1 - smoothing) + smoothing / classes)
    return F.cross_entropy(rates * section.logit_scale, labels, label_smoothing=smoothing)


def _soft(rates: torch.Tensor, teacher: torch.Tensor, section: DistillSection) -> torch.Tensor:
    """`ce` times tau^2, or `mse`: the squared error of the rates, summed over the classes."""
    tau = section.temperature
    target = F.softmax(teacher / tau, dim=1)
    if section.soft == "mse":
        return _squared(rates, target)
    return tau**2 * F.cross_entropy(rates * section.logit_scale / tau, target)


def _squared(rates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (rates - target).square().sum(dim=1).mean()


def feature_term(
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], seen: Seen, section: DistillSection
) -> torch.Tensor:
    """Alpha * feature_scale * the mean of a distance over the pairs of layers."""
    parts = torch.stack([distance(student, teacher) for student, teacher in seen.features])
    return section.alpha * section.feature_scale * parts.mean()
