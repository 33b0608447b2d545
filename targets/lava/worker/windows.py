"""Where a convolution looks: the windows of its input, in Lava's `(X, Y, C)` layout, and what each message reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FanOut", "Windows"]

Array = npt.NDArray[Any]


class Windows:
    """The windows of a convolution's input, and the padded frame in which they lie.

    Args:
        input_shape: `(X, Y, C_in)`.
        kernel, stride, padding, dilation: pairs in (X, Y) order.
        groups: number of channel groups.
        lanes: inputs side by side in the channels, each with groups of its own.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        lanes: int = 1,
    ) -> None:
        self.input_shape, self.padding = (*input_shape[:2], input_shape[2] * lanes), padding
        self.groups, self.lanes = groups * lanes, lanes
        self.size = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(input_shape[:2], padding, dilation, kernel, stride, strict=True)
        )
        self.kernel, self.stride, self.dilation = kernel, stride, dilation

    def frame(self, dtype: npt.DTypeLike) -> tuple[Array, Array]:
        """A frame of zeros, and the part of it that the input fills."""
        size_x, size_y, channels = self.input_shape
        pad_x, pad_y = self.padding
        frame = np.zeros((size_x + 2 * pad_x, size_y + 2 * pad_y, channels), dtype)
        return frame, frame[pad_x : pad_x + size_x, pad_y : pad_y + size_y]

    def of(self, frame: Array) -> Array:
        """Its windows as a view: `(groups, X, Y, kernel X, kernel Y, C_in / groups)`, X and Y of the output."""
        step_x, step_y, step_c = frame.strides
        per_group = self.input_shape[2] // self.groups
        return np.lib.stride_tricks.as_strided(
            frame,
            (self.groups, *self.size, *self.kernel, per_group),
            (
                step_c * per_group,
                step_x * self.stride[0],
                step_y * self.stride[1],
                step_x * self.dilation[0],
                step_y * self.dilation[1],
                step_c,
            ),
            writeable=False,
        )

    def taps(self, frame: Array) -> Iterator[Array]:
        """What each position of the kernel sees: a view `(X, Y, C_in)` for each, row by row."""
        for x in range(self.kernel[0]):
            for y in range(self.kernel[1]):
                slices = [
                    slice(k * d, k * d + s * (n - 1) + 1, s)
                    for k, d, s, n in zip((x, y), self.dilation, self.stride, self.size, strict=True)
                ]
                yield frame[slices[0], slices[1]]


class FanOut:
    """Counts synaptic events: the synapses that arriving messages reach, all and those of a weight that is not zero.

    Args:
        dense, effective: synapses behind each input, `(..., channels)`.
        lanes: inputs side by side in the channels.
    """

    def __init__(self, dense: Array, effective: Array, lanes: int) -> None:
        reach = np.stack([dense, effective]).reshape(2, -1, dense.shape[-1])
        self._reach = np.tile(reach, (1, 1, lanes)).reshape(2, -1).astype(np.float64)  # exact below 2**53

    @classmethod
    def of_convolution(cls, weight: Array, windows: Windows, lanes: int) -> FanOut:
        """Of a kernel `(C_out, X, Y, C_in / groups)`: each input of a lane counts once for each window it is in."""
        outputs = len(weight) // windows.groups
        nonzero = (weight != 0).reshape(windows.groups, outputs, *weight.shape[1:]).sum(axis=1)
        frame, inside = windows.frame(np.intp)
        frame[...] = np.arange(frame.size).reshape(frame.shape)
        seen = windows.of(frame)
        flipped = np.broadcast_to(nonzero[:, None, None, ::-1, ::-1], seen.shape)
        dense = outputs * np.bincount(seen.ravel(), minlength=frame.size)
        effective = np.bincount(seen.ravel(), weights=flipped.ravel(), minlength=frame.size)
        return cls(dense[inside], effective[inside], lanes)

    @classmethod
    def of_matrix(cls, weight: Array, channels: int, lanes: int) -> FanOut:
        """Of a matrix `(out, in)`, whose inputs lie in so many channels."""
        dense, effective = np.full(weight.shape[1], len(weight)), np.count_nonzero(weight, axis=0)
        return cls(dense.reshape(-1, channels), effective.reshape(-1, channels), lanes)

    def events(self, messages: Array) -> tuple[int, int]:
        """Arrivals of nonzero messages at synapses: all, and those of a weight that is not zero."""
        dense, effective = self._reach @ (messages != 0).ravel().astype(np.float64)
        return int(dense), int(effective)
