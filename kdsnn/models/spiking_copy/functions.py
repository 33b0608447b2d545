"""The layers that do what an ANN writes as a function or a method, seen from what goes in and what comes out.

A handler gets the tensor that goes in, the one that comes out, and the other arguments of the call. It returns the
layers, none for what does nothing, or None where no layers do that.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["ADDITIONS", "FUNCTIONS"]

Layers = list[nn.Module] | None
Tensor = torch.Tensor


def _relu(_x: Tensor, _y: Tensor, inplace: bool = False) -> Layers:
    return [nn.ReLU(inplace)]


def _nothing(_x: Tensor, _y: Tensor, *_args: Any, **_named: Any) -> Layers:
    return []


def _max_pool(_x: Tensor, _y: Tensor, *args: Any, **named: Any) -> Layers:
    return [nn.MaxPool2d(*args, **named)]


def _avg_pool(_x: Tensor, _y: Tensor, *args: Any, **named: Any) -> Layers:
    return [nn.AvgPool2d(*args, **named)]


def _adaptive_pool(_x: Tensor, _y: Tensor, output_size: Any) -> Layers:
    return [nn.AdaptiveAvgPool2d(output_size)]


def _flat(x: Tensor, y: Tensor, *_args: Any, **_named: Any) -> Layers:
    """Views of all kinds, where they make a vector of each image or leave it as it is."""
    if y.shape == x.shape:
        return []
    return [nn.Flatten()] if y.shape == (len(x), x[0].numel()) else None


def _mean(x: Tensor, _y: Tensor, dim: Any = None, keepdim: bool = False) -> Layers:
    """The mean of each channel of a map."""
    dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
    if x.ndim != 4 or sorted(d % 4 for d in dims) != [2, 3]:
        return None
    return [nn.AdaptiveAvgPool2d(1)] if keepdim else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
FUNCTIONS: dict[Any, Callable[..., Layers]] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_, F.relu6, "relu", "relu_"), _relu),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, "contiguous", "clone"), _nothing),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pool),
    F.avg_pool2d: _avg_pool,
    F.adaptive_avg_pool2d: _adaptive_pool,
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze), _flat),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze"), _flat),
    **dict.fromkeys((torch.mean, "mean"), _mean),
}
