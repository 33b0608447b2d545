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


def apply(op: Conv2d | Dense, messages: Array) -> Array:
    """The sum of weight times message for every target neuron.

    Args:
        op: the linear map.
        messages: `(B, *source shape)`. Its dtype is that of the sums: pass int64 for exact integers.

    Returns:
        `(B, *target shape)`.
    """
    weight = op.weight.astype(messages.dtype)
    if isinstance(op, Dense):
        sums: Array = messages.reshape(len(messages), -1) @ weight.T
        return sums
    return _conv2d(op, weight, messages)


def _conv2d(op: Conv2d, weight: Array, messages: Array) -> Array:
    batch, (c_out, height, width) = len(messages), op.output_shape(messages.shape[1:])
    padded = np.pad(messages, ((0, 0), (0, 0), *((p, p) for p in op.padding)))
    extent = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    # (B, groups, C_in / groups, H, W, kh, kw) with (groups, C_out / groups, C_in / groups, kh, kw)
    windows = windows.reshape(batch, op.groups, -1, *windows.shape[2:])
    grouped = weight.reshape(op.groups, c_out // op.groups, *weight.shape[1:])
    sums = [np.tensordot(windows[:, g], grouped[g], axes=((1, 4, 5), (1, 2, 3))) for g in range(op.groups)]
    stacked = np.stack(sums, axis=1)  # (B, groups, H, W, C_out / groups)
    return np.moveaxis(stacked, 4, 2).reshape(batch, c_out, height, width)
