"""Optimizers by name, and what a checkpoint keeps of each for every parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from kdsnn.choices import OPTIMIZERS

__all__ = ["ADAMW", "SGD", "OptimizerKind", "moments_of"]

MOMENTUM = 0.9


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer of torch.

    Attributes:
        type: its class.
        build: from parameters, learning rate and weight decay to the optimizer.
        moments: names of its state for each parameter.
    """

    type: type[torch.optim.Optimizer]
    build: Callable[[Iterable[nn.Parameter], float, float], torch.optim.Optimizer]
    moments: tuple[str, ...]


def moments_of(optimizer: torch.optim.Optimizer) -> set[str]:
    """What a registered optimizer keeps for each parameter."""
    kinds: list[OptimizerKind] = [OPTIMIZERS.get(name) for name in OPTIMIZERS]
    return set(next(kind.moments for kind in kinds if kind.type is type(optimizer)))


def _adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)


def _sgd(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay)


ADAMW = OptimizerKind(torch.optim.AdamW, _adamw, ("step", "exp_avg", "exp_avg_sq"))
SGD = OptimizerKind(torch.optim.SGD, _sgd, ("momentum_buffer",))
