"""Parameters and operations of an ANN, counted by running it once on an image of zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["Operations", "count_operations", "count_parameters"]

BATCH_NORM_OPERATIONS = 4  # an element, by the paper's convention


@dataclass(frozen=True)
class Operations:
    """Operations for one image.

    Attributes:
        macs: multiply-accumulates of convolutions and linear layers.
        paper_flops: the paper's figure: the same, and 4 for each element that a BatchNorm puts out.
    """

    macs: int
    paper_flops: int


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_operations(model: nn.Module, input_shape: tuple[int, ...]) -> Operations:
    """Operations of a model for one image of the given shape `(C, H, W)`. Bias additions are not counted."""
    macs = normalised = 0

    def linear(module: Any, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal macs
        macs += output.numel() * module.weight[0].numel()

    def norm(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal normalised
        normalised += output.numel()

    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_hook(linear))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            hooks.append(module.register_forward_hook(norm))
    training, device = {m: m.training for m in model.modules()}, next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape, device=device))
    finally:
        for module, was in training.items():
            module.training = was
        for hook in hooks:
            hook.remove()
    return Operations(macs, macs + BATCH_NORM_OPERATIONS * normalised)
