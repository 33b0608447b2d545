"""A convolution that a CPU trains faster where its maps are small.

Of the nine taps of a 3x3 kernel on a map of 2x2, five fall on the border: a library computes them all the same, and
small maps slowly. Here each output pixel is a product of the rows of the map that it sees with as many rows of the
kernel. With channels last both are matrices where they lie in memory, so nothing is copied and no border is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

__all__ = ["Convolution"]

LARGEST = 4  # pixels of a side; from 8 on the library is faster
LAST = torch.channels_last


class Convolution(nn.Conv2d):
    """`nn.Conv2d`, in training computed as above where that is faster: with the same sums, in another order."""

    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:  # noqa: A002  torch's name
        if self.training and bias is None and self._keeps_size() and _is_small(input, weight):
            made: torch.Tensor = _SmallMaps.apply(input, weight)
        else:
            made = super()._conv_forward(input, weight, bias)
        return made

    def _keeps_size(self) -> bool:
        """Whether it is 3x3 with a border of one pixel, and nothing else."""
        settings = (self.kernel_size, self.padding, self.stride, self.dilation)
        return settings == ((3, 3), (1, 1), (1, 1), (1, 1)) and self.groups == 1 and self.padding_mode == "zeros"


def _is_small(images: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether these are small maps on a CPU, both in float32 with the channels last."""
    return (
        type(images) is torch.Tensor  # not one that traces
        and images.dim() == 4
        and len(images) > 0
        and max(images.shape[2:]) <= LARGEST
        and images.device.type == "cpu"
        and images.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and images.is_contiguous(memory_format=LAST)
        and weight.is_contiguous(memory_format=LAST)
    )


class _SmallMaps(torch.autograd.Function):
    """The convolution of `(B, C, H, W)` by `(O, C, 3, 3)`, both with the channels last."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        rows, kernel = _last(images), _last(weight)
        made = images.new_zeros(*rows.shape[:3], len(kernel))
        for seen, taps, pixel in _products(rows, kernel, made):
            pixel.addmm_(seen, taps.T)
        return made.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        images, weight = ctx.saved_tensors
        rows, kernel, above = _last(images), _last(weight), _last(upstream)
        below, learnt = torch.zeros_like(rows), torch.zeros_like(kernel)
        for (seen, taps, pixel), (to_seen, to_taps, _) in zip(
            _products(rows, kernel, above), _products(below, learnt, above), strict=True
        ):
            to_seen.addmm_(pixel, taps)
            to_taps.addmm_(pixel.T, seen)
        return below.permute(0, 3, 1, 2), learnt.permute(0, 3, 1, 2)


def _last(values: torch.Tensor) -> torch.Tensor:
    """`(N, H, W, C)`, of which the last two axes are one in memory."""
    return values.permute(0, 2, 3, 1).contiguous()


def _products(
    rows: torch.Tensor, kernel: torch.Tensor, made: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """For each output pixel and row of the map that it sees: what it sees `(B, n)`, its taps `(O, n)`, itself `(B, O)`.

    Views of `(B, H, W, C)`, `(O, 3, 3, C)` and `(B, H, W, O)`.
    """
    height, width = rows.shape[1:3]
    for y in range(height):
        for x in range(width):
            first, end = max(0, x - 1), min(width, x + 2)
            for row in range(max(0, y - 1), min(height, y + 2)):
                taps = kernel[:, row - y + 1, first - x + 1 : end - x + 1]
                seen = rows[:, row, first:end]
                yield seen.view(len(rows), -1), taps.view(len(kernel), -1), made[:, y, x]
