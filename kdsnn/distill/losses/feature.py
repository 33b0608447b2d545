"""The paper's feature-based loss."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.alone import alone
from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import feature_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "feature", "partial_l2", "partial_term"]


def feature(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The paper's feature-based loss: that of the labels + alpha * `partial_l2`, as a mean over the pairs."""
    return alone(seen, section) + partial_term(seen, section)


def partial_term(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The feature part alone: the sum over the elements of a map, as the paper has it, or their mean."""
    reduction = section.feature_reduction or ("sum" if section.pairs == "classifier" else "mean")
    whole = reduction == "sum"
    return feature_term(lambda s, t: partial_l2(s, t) * (s[0].numel() if whole else 1), seen, section)


def partial_l2(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The mean over all elements of 0 where S <= T <= 0, else (T - S)^2.

    Where the teacher's ReLU answers 0, the student may be as far below as it likes (Heo et al. 2019). The paper's is a
    sum: W * H * C times this mean over an image.
    """
    free = (student <= teacher) & (teacher <= 0)
    return (teacher - student).square().masked_fill(free, 0.0).mean()


LOSS = Loss(feature, needs_features=True)
