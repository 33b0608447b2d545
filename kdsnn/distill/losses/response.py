"""The paper's response-based loss."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import response_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "response"]


def response(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The paper's response-based loss (Xu et al. 2023).

    alpha * tau^2 * CE(softmax(student / tau), softmax(teacher / tau)) + (1 - alpha) * CE(student, labels)
    """
    return response_term(seen.rates, seen, section)


LOSS = Loss(response, mixes=True)
