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
    batch, (c_out, height, width) = len(messages), op.output_shape(messages.shape[1:])
    padded = np.pad(messages, ((0, 0), (0, 0), *((p, p) for p in op.padding)))
    extent = [d * (k - 1) + 1 for d, k in zip(op.dilation, weight.shape[2:], strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    windows = windows[:, :, :: op.stride[0], :: op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    # (groups, C_out / groups, taps) @ (groups, taps, B H W), where taps are C_in / groups times the kernel's
    taps = windows.transpose(1, 4, 5, 0, 2, 3).reshape(op.groups, -1, batch * height * width)
    sums: Array = weight.reshape(op.groups, c_out // op.groups, -1) @ taps
    return sums.reshape(c_out, batch, height, width).swapaxes(0, 1)
