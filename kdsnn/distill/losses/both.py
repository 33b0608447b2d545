"""The paper's two losses together."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.feature import partial_l2
from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.response import response
from kdsnn.distill.losses.terms import feature_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "both"]


def both(seen: Seen, section: DistillSection) -> torch.Tensor:
    """`response` and the feature part of `feature`."""
    return response(seen, section) + feature_term(partial_l2, seen, section)


LOSS = Loss(both, needs_features=True)
