"""What projections add up, exactly, in torch: int8 products with int32 sums where they can be trusted, else float32.

Images are `(B, H, W, C)` here: the windows of a convolution are then rows of one matrix, and its product with the
weights is the synaptic input in the same layout. A library convolution would be free to choose Winograd or FFT
algorithms, whose intermediate values are fractions; float32 sums of integers below 2**24 are exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from kdsnn.network import MEMBRANE_SHIFT, Conv2d, Dense, Projection, Shape

__all__ = ["Arithmetic", "Sums", "int8_is_exact", "sums_of", "unfolded"]

Sums = Callable[[torch.Tensor], torch.Tensor]  # from uint8 messages or bool spikes (B, *source) to int32 (B, *target)
MIDDLE = 128  # of uint8


@dataclass(frozen=True)
class Arithmetic:
    """How products are computed.

    Attributes:
        device: of torch.
        int8: whether by int8 products; else by float32.
    """

    device: torch.device
    int8: bool

    def matrix(self, weight: npt.NDArray[Any]) -> torch.Tensor:
        """Weights `(out, in)` as the second factor of a product."""
        dtype = torch.int8 if self.int8 else torch.float32
        return _plain(torch.from_numpy(np.ascontiguousarray(weight.T)).to(self.device, dtype))

    def rows(self, messages: torch.Tensor, shift: int) -> torch.Tensor:
        """Messages, less the shift, as the first factor of a product."""
        if not self.int8:
            return messages.to(torch.float32)
        return (messages ^ MIDDLE if shift else messages).view(torch.int8)

    def product(self, rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """`rows @ matrix`, int32."""
        if not self.int8:
            return (rows @ matrix).to(torch.int32)
        made: torch.Tensor = torch._int_mm(_plain(rows), matrix)
        return made


@cache
def int8_is_exact() -> bool:
    """Whether this CPU's int8 products are exact for the largest values: some add pairs up in 16 bits, and saturate."""
    rows = torch.full((64, 256), -128, dtype=torch.int8)
    rows[1::2] = 127
    matrix = torch.full((256, 64), 127, dtype=torch.int8)
    matrix[:, 1::2] = -128
    try:
        made = torch._int_mm(rows, matrix)
    except (AttributeError, RuntimeError):
        return False
    return bool((made == (rows.double() @ matrix.double())).all())


def sums_of(projection: Projection, source: Shape, bits: int, arithmetic: Arithmetic) -> Sums:
    """The synaptic input of a projection, 64 to a weight unit; of images and for images as `(B, H, W, C)`.

    Args:
        projection: of an integer network.
        source: shape of the population that it comes from, `(C, H, W)` or `(N,)`.
        bits: width of its messages; 1 for spikes.
        arithmetic: of its products.
    """
    op, scale = projection.op, 2 ** (projection.exponent + MEMBRANE_SHIFT)
    shift = MIDDLE if arithmetic.int8 and bits == 8 else 0  # int8 holds a message of 8 bits only less its middle
    if isinstance(op, Dense):
        return _dense(op, source, scale, shift, arithmetic)
    if op.groups == source[0] == op.weight.shape[0]:
        return _depthwise(op, scale, bits, arithmetic)
    return _convolution(op, scale, shift, arithmetic)


def unfolded(projection: Projection, source: Shape) -> int:
    """Elements of the matrix that one message of this source is copied into."""
    op = projection.op
    if isinstance(op, Dense):
        return int(op.weight.shape[1])
    _, height, width = op.output_shape(source)
    return int(source[0] * np.prod(op.weight.shape[2:]) * height * width)


def _dense(op: Dense, source: Shape, scale: int, shift: int, arithmetic: Arithmetic) -> Sums:
    weight = op.weight.astype(np.int32)
    if len(source) == 3:
        weight = weight.reshape(-1, *source).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    matrix, missing = arithmetic.matrix(weight), _missing(weight, shift, arithmetic)

    def sums(messages: torch.Tensor) -> torch.Tensor:
        return arithmetic.product(arithmetic.rows(messages.flatten(1), shift), matrix).add_(missing).mul_(scale)

    return sums


def _convolution(op: Conv2d, scale: int, shift: int, arithmetic: Arithmetic) -> Sums:
    """The product of the windows and the weights, group by group."""
    parts = np.split(op.weight.astype(np.int32).transpose(0, 2, 3, 1), op.groups)
    flat = [part.reshape(len(part), -1) for part in parts]
    matrices = [arithmetic.matrix(part) for part in flat]
    missing = [_missing(part, shift, arithmetic) for part in flat]
    channels = int(op.weight.shape[1])

    def sums(messages: torch.Tensor) -> torch.Tensor:
        windows = _windows(_padded(arithmetic.rows(messages, shift), op, -shift), op)
        made = []
        for group, matrix in enumerate(matrices):
            rows = windows[..., group * channels : (group + 1) * channels].reshape(-1, len(matrix))
            made.append(arithmetic.product(rows, matrix).add_(missing[group]).mul_(scale))
        whole = made[0] if len(made) == 1 else torch.cat(made, dim=-1)
        return whole.reshape(*windows.shape[:3], -1)

    return sums


def _depthwise(op: Conv2d, scale: int, bits: int, arithmetic: Arithmetic) -> Sums:
    """A convolution of each channel alone, such as a pool: tap by tap; in bytes, where they hold the sum."""
    taps = torch.from_numpy(op.weight[:, 0].astype(np.int32).transpose(1, 2, 0).copy()).to(arithmetic.device)
    plain = bool((taps == 1).all())
    dtype = torch.uint8 if plain and taps[..., 0].numel() * (2**bits - 1) < 2 * MIDDLE else torch.int32

    def sums(messages: torch.Tensor) -> torch.Tensor:
        windows = _windows(_padded(messages.view(torch.uint8), op, 0), op)
        total = torch.zeros((*windows.shape[:3], windows.shape[-1]), dtype=dtype, device=messages.device)
        for row in range(len(taps)):
            for column in range(len(taps[0])):
                tap = windows[..., row, column, :]
                total += tap if plain else tap.to(torch.int32) * taps[row, column]
        return total.to(torch.int32).mul_(scale)

    return sums


def _plain(values: torch.Tensor) -> torch.Tensor:
    """The values with the strides of their shape; those of an axis of one are free, and `_int_mm` misreads them."""
    return values.contiguous().view(-1).view(values.shape)


def _missing(weight: npt.NDArray[np.int32], shift: int, arithmetic: Arithmetic) -> torch.Tensor:
    """What a shift of all messages takes off the sums of weights `(out, in)`."""
    return torch.from_numpy(weight.sum(axis=1, dtype=np.int32) * np.int32(shift)).to(arithmetic.device)


def _padded(images: torch.Tensor, op: Conv2d, value: int) -> torch.Tensor:
    """`(B, H, W, C)` with a border."""
    height, width = op.padding
    return images if op.padding == (0, 0) else F.pad(images, (0, 0, width, width, height, height), value=value)


def _windows(padded: torch.Tensor, op: Conv2d) -> torch.Tensor:
    """The windows of padded images, `(B, H, W, kernel, kernel, C)`; a view."""
    padded = padded.contiguous()
    batch, height, width, channels = padded.shape
    size = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, d, s in zip((height, width), op.weight.shape[2:], op.dilation, op.stride, strict=True)
    ]
    image, row, column, _ = padded.stride()
    strides = (image, row * op.stride[0], column * op.stride[1], row * op.dilation[0], column * op.dilation[1], 1)
    return padded.as_strided((batch, *size, *op.weight.shape[2:], channels), strides)
