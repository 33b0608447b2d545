"""Terms that several losses are made of."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from kdsnn.distill.losses.loss import Seen
from kdsnn.recipes.schema import DistillSection

__all__ = ["feature_term", "mean_logits", "mixed", "response_term", "soft_cross_entropy", "task_term"]


def response_term(rates: torch.Tensor, seen: Seen, section: DistillSection) -> torch.Tensor:
    """Alpha * the teacher's softened answer + (1 - alpha) * the labels, for rates `(B, classes)`."""
    tau = section.temperature
    if section.soft == "mse":
        soft = (rates - F.softmax(seen.teacher / tau, dim=1)).square().sum(dim=1).mean()
    else:
        soft = soft_cross_entropy(rates * section.logit_scale, seen.teacher, tau)
    return mixed(soft, task_term(rates, seen.labels, section), section)


def mean_logits(seen: Seen, _section: DistillSection) -> torch.Tensor:
    """The learnt scale times the mean drive over the steps, `(B, classes)`."""
    return seen.logits.mean(dim=0)


def mixed(soft: torch.Tensor, task: torch.Tensor, section: DistillSection) -> torch.Tensor:
    """Alpha * the teacher's part + (1 - alpha) * that of the labels."""
    return section.alpha * soft + (1 - section.alpha) * task


def soft_cross_entropy(logits: torch.Tensor, teacher: torch.Tensor, tau: float) -> torch.Tensor:
    """tau^2 * CE(softmax(logits / tau), softmax(teacher / tau)), both logits `(..., classes)`; the mean over images."""
    target = F.softmax(teacher / tau, dim=-1)
    return -(tau**2) * (target * F.log_softmax(logits / tau, dim=-1)).sum(dim=-1).mean()


def task_term(rates: torch.Tensor, labels: torch.Tensor, section: DistillSection) -> torch.Tensor:
    """`ce` of the logits, or `mse`: the squared error of the rates, summed over the classes.

    The mean over the images that have a label; 0 where none has.
    """
    smoothing, classes, known = section.label_smoothing, rates.shape[1], labels >= 0
    if section.task == "mse":
        target = F.one_hot(labels.clamp(min=0), classes).to(rates.dtype) * (1 - smoothing) + smoothing / classes
        each = (rates - target).square().sum(dim=1)
    else:
        logits = rates * section.logit_scale
        each = F.cross_entropy(logits, labels, label_smoothing=smoothing, ignore_index=-1, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def feature_term(
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], seen: Seen, section: DistillSection
) -> torch.Tensor:
    """Alpha * feature_scale * the mean of a distance over the pairs of layers."""
    parts = torch.stack([distance(student, teacher) for student, teacher in seen.features])
    return section.alpha * section.feature_scale * parts.mean()
