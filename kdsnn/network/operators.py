"""The linear maps of projections: a convolution and a matrix product. `linear_maps.py` computes them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy.typing as npt

from kdsnn.network.arrays import read_only

__all__ = ["Conv2d", "Dense", "Shape"]

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Conv2d:
    """A 2-d cross-correlation, as torch defines it. Weight `(C_out, C_in / groups, kernel_h, kernel_w)`."""

    weight: npt.NDArray[Any]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    kind = "conv2d"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", read_only(self.weight))

    def output_shape(self, source: Shape) -> Shape:
        """Shape that a source of this shape is mapped to; raises ValueError where it cannot be."""
        if len(source) != 3 or self.weight.ndim != 4:
            raise ValueError(f"a convolution maps (C, H, W) with a 4-d weight, not {source} with {self.weight.shape}")
        if min(*self.stride, *self.dilation, self.groups) < 1 or min(self.padding) < 0:
            raise ValueError("stride, dilation and groups are whole numbers from 1, and padding from 0")
        if 0 in self.weight.shape:
            raise ValueError(f"a weight of shape {self.weight.shape} maps nothing")
        c_out, c_in, *kernel = self.weight.shape
        if c_in * self.groups != source[0] or c_out % self.groups:
            raise ValueError(f"weight {self.weight.shape} in {self.groups} groups does not fit {source[0]} channels")
        size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(source[1:], self.padding, self.dilation, kernel, self.stride, strict=True)
        ]
        if min(size) < 1:
            raise ValueError(f"a kernel of {kernel} leaves nothing of an image of {source[1:]}")
        return (c_out, *size)


@dataclass(frozen=True, eq=False)
class Dense:
    """A matrix product on the flattened source. Weight `(neurons out, neurons in)`, both in row-major order."""

    weight: npt.NDArray[Any]

    kind = "dense"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", read_only(self.weight))

    def output_shape(self, source: Shape) -> Shape:
        """Shape that a source of this shape is mapped to; raises ValueError where it cannot be."""
        if self.weight.ndim != 2 or self.weight.shape[1] != prod(source):
            raise ValueError(f"a weight of {self.weight.shape} does not fit a source of {source}")
        return (self.weight.shape[0],)
