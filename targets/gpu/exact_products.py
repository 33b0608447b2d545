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

from kdsnn.network import MEMBRANE_SHIFT, Conv2d, Dense, Projection, Shape
from kdsnn.targets.gpu.reused_memory import Scratch

__all__ = ["Arithmetic", "Sums", "any_of", "int8_is_exact", "sums_of", "words"]

MIDDLE = 128  # of uint8
CACHED_ROWS, ROWS = 2**22, 2**28  # bytes of windows in one product: what a CPU's caches hold; on a GPU
Weighted = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Sums:
    """What a projection adds up: `(weighted(messages) + missing) * scale`, 64 to a weight unit.

    Attributes:
        weighted: from uint8 messages or bool spikes `(B, *source)` to int32 `(B, *target)`.
        missing: what a shift of all messages takes off these sums, for each channel of the target; None where there is
            no shift.
        scale: of a sum.
    """

    weighted: Weighted
    missing: torch.Tensor | None
    scale: int


@dataclass(frozen=True)
class Arithmetic:
    """How products are computed.

    Attributes:
        scratch: memory for them, on the device.
        int8: whether by int8 products; else by float32.
    """

    scratch: Scratch
    int8: bool

    @property
    def dtype(self) -> torch.dtype:
        """Of both factors."""
        return torch.int8 if self.int8 else torch.float32

    @property
    def rows_at_once(self) -> int:
        """Elements of a first factor that is made anew."""
        return (CACHED_ROWS if self.scratch.device.type == "cpu" else ROWS) // self.dtype.itemsize

    def matrix(self, weight: npt.NDArray[Any]) -> torch.Tensor:
        """Weights `(out, in)` as the second factor of a product."""
        return _plain(torch.tensor(np.ascontiguousarray(weight.T)).to(self.scratch.device, self.dtype))

    def shifted(self, messages: torch.Tensor, shift: int) -> torch.Tensor:
        """Messages less the shift, a byte each."""
        if not self.int8:
            return messages
        return (messages ^ MIDDLE if shift else messages).view(torch.int8)

    def rows(self, values: torch.Tensor, length: int) -> torch.Tensor:
        """Bytes of any strides as the first factor of a product, so many in a row."""
        if values.dtype == self.dtype and values.is_contiguous():
            return _plain(values.view(-1, length))
        return self.scratch.take("rows", values.shape, self.dtype).copy_(values).view(-1, length)

    def product(self, rows: torch.Tensor, matrix: torch.Tensor, out: torch.Tensor) -> None:
        """Writes `rows @ matrix`, int32."""
        if self.int8:
            torch._int_mm(rows, matrix, out=out)
        else:
            out.copy_(torch.mm(rows, matrix, out=self.scratch.take("product", out.shape, torch.float32)))


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
    """The synaptic input of a projection; of images and for images as `(B, H, W, C)`.

    Args:
        projection: of an integer network.
        source: shape of the population that it comes from, `(C, H, W)` or `(N,)`.
        bits: width of its messages; 1 for spikes.
        arithmetic: of its products.
    """
    op, scale = projection.op, 2 ** (projection.exponent + MEMBRANE_SHIFT)
    shift = MIDDLE if arithmetic.int8 and bits == 8 else 0  # int8 holds a message of 8 bits only less its middle
    if isinstance(op, Dense):
        weighted = _dense(op, source, shift, arithmetic)
    elif op.groups == source[0] == op.weight.shape[0]:
        return Sums(_depthwise(op, bits, arithmetic), None, scale)
    else:
        weighted = _convolution(op, shift, arithmetic)
    missing = op.weight.sum(axis=tuple(range(1, op.weight.ndim)), dtype=np.int32) * np.int32(shift)
    return Sums(weighted, torch.from_numpy(missing).to(arithmetic.scratch.device) if shift else None, scale)


def _dense(op: Dense, source: Shape, shift: int, arithmetic: Arithmetic) -> Weighted:
    weight = op.weight.astype(np.int32)
    if len(source) == 3:
        weight = weight.reshape(-1, *source).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    matrix = arithmetic.matrix(weight)

    def weighted(messages: torch.Tensor) -> torch.Tensor:
        rows = arithmetic.rows(arithmetic.shifted(messages, shift), len(matrix))
        made = arithmetic.scratch.take("sums", (len(rows), matrix.shape[1]), torch.int32)
        arithmetic.product(rows, matrix, made)
        return made

    return weighted


def _convolution(op: Conv2d, shift: int, arithmetic: Arithmetic) -> Weighted:
    """The product of the windows and the weights, group by group."""
    parts = np.split(op.weight.astype(np.int32).transpose(0, 2, 3, 1), op.groups)
    matrices = [arithmetic.matrix(part.reshape(len(part), -1)) for part in parts]
    channels, wide = int(op.weight.shape[1]), len(parts[0])

    def weighted(messages: torch.Tensor) -> torch.Tensor:
        windows = _windows(_padded(arithmetic.shifted(messages, shift), op, -shift, arithmetic.scratch), op)
        batch, height, width = windows.shape[:3]
        made = arithmetic.scratch.take("sums", (op.groups, batch, height * width, wide), torch.int32)
        at_once = max(1, arithmetic.rows_at_once // (height * width * len(matrices[0])))
        for group, matrix in enumerate(matrices):
            mine = windows[..., group * channels : (group + 1) * channels]
            for some, out in zip(torch.split(mine, at_once), torch.split(made[group], at_once), strict=True):
                arithmetic.product(arithmetic.rows(some, len(matrix)), matrix, out.flatten(0, 1))
        whole = made[0] if op.groups == 1 else torch.cat(list(made), dim=-1)
        return whole.view(batch, height, width, -1)

    return weighted


def _depthwise(op: Conv2d, bits: int, arithmetic: Arithmetic) -> Weighted:
    """A convolution of each channel alone, such as a pool: tap by tap; in bytes, where they hold the sum."""
    taps = torch.from_numpy(op.weight[:, 0].astype(np.int32).transpose(1, 2, 0).copy()).to(arithmetic.scratch.device)
    plain = bool((op.weight == 1).all())
    dtype = torch.uint8 if plain and taps[..., 0].numel() * (2**bits - 1) < 2 * MIDDLE else torch.int32

    def weighted(messages: torch.Tensor) -> torch.Tensor:
        windows = _windows(_padded(messages.view(torch.uint8), op, 0, arithmetic.scratch), op)
        total = torch.zeros((*windows.shape[:3], windows.shape[-1]), dtype=dtype, device=messages.device)
        for row in range(len(taps)):
            for column in range(len(taps[0])):
                tap = windows[..., row, column, :]
                total += tap if plain else tap.to(torch.int32) * taps[row, column]
        return total.to(torch.int32)

    return weighted


def any_of(op: Conv2d, scratch: Scratch, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Whether any spike of a window arrived, channel by channel: from bool `(B, H, W, C)` to bool, in scratch."""

    def arrived(spikes: torch.Tensor) -> torch.Tensor:
        windows = _windows(_padded(words(spikes), op, 0, scratch), op)
        batch, height, width, rows, columns, _ = windows.shape
        taps = [windows[..., row, column, :] for row in range(rows) for column in range(columns)]
        any_spike = scratch.take(name, (batch, height, width, spikes.shape[-1]), torch.bool)
        total = words(any_spike)
        torch.bitwise_or(taps[0], taps[-1], out=total)
        for tap in taps[1:-1]:
            total |= tap
        return any_spike

    return arrived


def words(spikes: torch.Tensor) -> torch.Tensor:
    """The same bytes, eight to an integer where the last axis can be cut so, which takes a fraction of the time."""
    return spikes.view(torch.int64 if spikes.shape[-1] % 8 == 0 else torch.uint8)


def _plain(values: torch.Tensor) -> torch.Tensor:
    """The values with the strides of their shape; those of an axis of one are free, and `_int_mm` misreads them."""
    return values.contiguous().view(-1).view(values.shape)


def _padded(images: torch.Tensor, op: Conv2d, value: int, scratch: Scratch) -> torch.Tensor:
    """`(B, H, W, C)` with a border."""
    if op.padding == (0, 0):
        return images
    (top, left), (batch, height, width, channels) = op.padding, images.shape
    padded = scratch.take("padded", (batch, height + 2 * top, width + 2 * left, channels), images.dtype).fill_(value)
    padded[:, top : top + height, left : left + width] = images
    return padded


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
