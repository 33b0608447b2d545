"""The paper's two losses together."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.feature import partial_term
from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.response import response
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "both"]


def both(seen: Seen, section: DistillSection) -> torch.Tensor:
    """`response` and the feature part of `feature`."""
    return response(seen, section) + partial_term(seen, section)


LOSS = Loss(both, needs_features=True, mixes=True)
