"""The response at each time step."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import response_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "per_step"]


def per_step(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The mean over the steps of `response` for the rates up to that step: what the student would answer there.

    A loss at each step is from TET (Deng et al. 2022), which has labels only.
    """
    counted = torch.arange(1, len(seen.steps) + 1, device=seen.steps.device).reshape(-1, 1, 1)
    rates = seen.steps.cumsum(dim=0) / counted
    return torch.stack([response_term(r, seen, section) for r in rates]).mean()


LOSS = Loss(per_step, mixes=True)
