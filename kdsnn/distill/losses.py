"""Distillation losses. To add one: a function, and a line in `LOSSES`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from kdsnn.recipe import DistillSection

__all__ = ["LOSSES", "alone_loss", "response_loss"]


def response_loss(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, section: DistillSection
) -> torch.Tensor:
    """The paper's response-based loss (Xu et al. 2023).

        alpha * tau^2 * CE(softmax(student / tau), softmax(teacher / tau)) + (1 - alpha) * CE(student, labels)

    Args:
        student: logits `(B, classes)`.
        teacher: logits `(B, classes)`.
        labels: `(B,)`.
        section: tau is its `temperature`, alpha its `alpha`.
    """
    tau, alpha = section.temperature, section.alpha
    soft = F.cross_entropy(student / tau, F.softmax(teacher / tau, dim=1))
    return alpha * tau**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)


def alone_loss(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, section: DistillSection
) -> torch.Tensor:
    """The student without a teacher: the baseline that distillation is compared with."""
    del teacher, section
    return F.cross_entropy(student, labels)


Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, DistillSection], torch.Tensor]
LOSSES: dict[str, Loss] = {"none": alone_loss, "response": response_loss}
