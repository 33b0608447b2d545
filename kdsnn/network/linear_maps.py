"""Linear maps on numpy arrays: what a projection computes, in whatever dtype it is given.

Short enough to read as the specification; targets may have faster versions of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.network.operators import Conv2d, Dense

__all__ = ["apply"]

Array = npt.NDArray[Any]
MOST_TAPS = 2**25  # copied at once: 256 MiB in float64


def apply(op: Conv2d | Dense, messages: Array) -> Array:
    """The sum of weight times message for every target neuron.

    Args:
        op: the linear map.
        messages: `(B, *source shape)`. Its dtype is that of products and sums: int64 for integers of any size, or
            float64, which BLAS multiplies, and which is exact while no partial sum reaches 2**53.

    Returns:
        `(B, *target shape)`.
    """
    weight = op.weight.astype(messages.dtype, copy=False)
    if isinstance(op, Dense):
        sums: Array = messages.reshape(len(messages), -1) @ weight.T
        return sums
    return _conv2d(op, weight, messages)


def _conv2d(op: Conv2d, weight: Array, messages: Array) -> Array:
    padded = np.pad(messages, ((0, 0), (0, 0), *((p, p) for p in op.padding)))
    extent = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    return _products(weight.reshape(op.groups, len(weight) // op.groups, -1), windows)


def _products(weight: Array, windows: Array) -> Array:
    """Of `(groups, C_out / groups, taps)` and `(B, C_in, H, W, kernel, kernel)`: `(B, C_out, H, W)`.

    Many windows are halved along images, rows or columns: they are copied, and overlap.
    """
    batch, _, height, width = windows.shape[:4]
    if windows.size > MOST_TAPS and batch * height * width > 1:
        axis = max((0, 2, 3), key=lambda axis: windows.shape[axis])
        return np.concatenate([_products(weight, half) for half in np.array_split(windows, 2, axis)], axis)
    groups, channels = weight.shape[:2]
    # (groups, C_out / groups, taps) @ (groups, taps, B H W), where taps are C_in / groups times the kernel's
    sums: Array = weight @ windows.transpose(1, 4, 5, 0, 2, 3).reshape(groups, -1, batch * height * width)
    return sums.reshape(groups * channels, batch, height, width).swapaxes(0, 1)
