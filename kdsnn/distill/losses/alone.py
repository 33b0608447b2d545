"""The student alone, without a teacher."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import task_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "alone"]


def alone(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The student without a teacher: the baseline that distillation is compared with."""
    return task_term(seen.rates, seen.labels, section)


LOSS = Loss(alone, needs_teacher=False)
