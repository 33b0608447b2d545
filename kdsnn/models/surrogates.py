"""Surrogate gradients in place of a step's: snnTorch's, and the same as a chain rule that works in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from snntorch import surrogate as snntorch_surrogates

__all__ = ["ATAN", "FAST_SIGMOID", "SIGMOID", "Chain", "Surrogate"]

Chain = Callable[[torch.Tensor, torch.Tensor], None]  # (H - threshold, dL/dS): leaves dL/dS surrogate' in the first


def _atan(slope: float) -> Chain:
    def chain(distance: torch.Tensor, upstream: torch.Tensor) -> None:
        distance.mul_(math.pi / 2 * slope).square_().add_(1).reciprocal_().mul_(slope / 2).mul_(upstream)

    return chain


def _fast_sigmoid(slope: float) -> Chain:
    def chain(distance: torch.Tensor, upstream: torch.Tensor) -> None:
        distance.abs_().mul_(slope).add_(1).square_()
        torch.div(upstream, distance, out=distance)

    return chain


def _sigmoid(slope: float) -> Chain:
    def chain(distance: torch.Tensor, upstream: torch.Tensor) -> None:
        distance.mul_(-slope).exp_()
        below = (distance + 1).square_()
        distance.mul_(upstream * slope).div_(below)

    return chain


@dataclass(frozen=True)
class Surrogate:
    """A surrogate gradient; both forms of it give the same gradients, bit for bit.

    Attributes:
        gradient: from its slope to snnTorch's `spike_grad`.
        chain: from its slope to what turns a distance from the threshold into the gradient.
    """

    gradient: Callable[[float], Callable[[torch.Tensor], torch.Tensor]]
    chain: Callable[[float], Chain]


ATAN = Surrogate(lambda slope: snntorch_surrogates.atan(alpha=slope), _atan)
FAST_SIGMOID = Surrogate(lambda slope: snntorch_surrogates.fast_sigmoid(slope=slope), _fast_sigmoid)
SIGMOID = Surrogate(lambda slope: snntorch_surrogates.sigmoid(slope=slope), _sigmoid)
