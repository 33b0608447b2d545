"""Convolutions written out: without groups, without dilation, or as the whole matrix of weights.

A matrix can say every linear map. Where two maps in a row are no convolution (padding between them that would reach
into the image), they become one, as long as it has no more than `MAX_WEIGHTS` weights.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import gcd, prod

import numpy as np
import numpy.typing as npt

from kdsnn.errors import LoweringError
from kdsnn.network import Conv2d, Dense, Shape

__all__ = ["MAX_WEIGHTS", "MAX_WORK", "check_size", "check_work", "diagonal", "grouped_alike", "undilated", "unrolled"]

MAX_WEIGHTS = 2**23  # of a kernel or a matrix that is made here: 64 MiB in float64
MAX_WORK = 2**35  # multiplications that join two maps: a few seconds
FloatArray = npt.NDArray[np.float64]


def check_size(weights: int, what: str) -> None:
    """Raises LoweringError where a kernel or matrix would have more than `MAX_WEIGHTS` weights."""
    if weights > MAX_WEIGHTS:
        raise LoweringError(
            f"it would take {what} of {weights:,} weights, more than {MAX_WEIGHTS:,}",
            hint="put a neuron between the two layers, or make the images smaller",
        )


def check_work(multiplications: int) -> None:
    """Raises LoweringError where two maps cannot be joined by `MAX_WORK` multiplications."""
    if multiplications > MAX_WORK:
        raise LoweringError(
            f"it would take {multiplications:,} multiplications to join it with the layer before it, "
            f"more than {MAX_WORK:,}",
            hint="put a neuron between the two layers",
        )


def diagonal(factors: FloatArray) -> Dense:
    """The matrix that multiplies each element by a factor of its own."""
    check_size(factors.size**2, "a matrix")
    return Dense(np.diag(factors.reshape(-1)))


def unrolled(op: Conv2d | Dense, source: Shape) -> Dense:
    """The matrix `(neurons out, neurons in)` of a map from a source of this shape.

    Raises:
        LoweringError: it would be too large.
    """
    if isinstance(op, Dense):
        return op
    target = op.output_shape(source)
    check_size(prod(target) * prod(source), "a matrix")
    matrix = np.zeros((*target, *source))
    cells = matrix.transpose(1, 2, 4, 5, 0, 3)  # (H out, W out, H, W, C out, C in), a view
    rows, columns = op.weight.shape[0] // op.groups, op.weight.shape[1]
    for tap in product(*map(range, op.weight.shape[2:])):
        (oy, y), (ox, x) = (_reached(op, axis, tap[axis], source[axis + 1], target[axis + 1]) for axis in (0, 1))
        for group in range(op.groups):
            made, read = (slice(group * n, (group + 1) * n) for n in (rows, columns))
            cells[oy[:, None], ox, y[:, None], x, made, read] = op.weight[made, :, tap[0], tap[1]]
    return Dense(matrix.reshape(prod(target), prod(source)))


def _reached(
    op: Conv2d, axis: int, tap: int, size: int, outputs: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Along an axis: the outputs that a tap of the kernel serves, and the places inside the image that it reads."""
    out = np.arange(outputs)
    place = out * op.stride[axis] - op.padding[axis] + tap * op.dilation[axis]
    inside = (place >= 0) & (place < size)
    return out[inside], place[inside]


def grouped_alike(first: Conv2d, second: Conv2d) -> tuple[Conv2d, Conv2d]:
    """Two convolutions in as many groups as both can be written in, with zeros where a group did not reach."""
    groups = gcd(first.groups, second.groups)
    return _regrouped(first, groups), _regrouped(second, groups)


def _regrouped(op: Conv2d, groups: int) -> Conv2d:
    """A convolution in fewer groups, of which each joins neighbours of the old ones."""
    if groups == op.groups:
        return op
    rows, per_group, *kernel = op.weight.shape
    joined = op.groups // groups
    check_size(op.weight.size * joined, "a kernel")
    weight = np.zeros((rows, joined, per_group, *kernel))
    row = np.arange(rows)
    weight[row, row // (rows // op.groups) % joined] = op.weight
    return replace(op, weight=weight.reshape(rows, joined * per_group, *kernel), groups=groups)


def undilated(op: Conv2d) -> Conv2d:
    """The convolution with the zeros that dilation puts between the cells of its kernel."""
    if op.dilation == (1, 1):
        return op
    size = [d * (k - 1) + 1 for d, k in zip(op.dilation, op.weight.shape[2:], strict=True)]
    check_size(prod(op.weight.shape[:2]) * prod(size), "a kernel")
    made = np.zeros((*op.weight.shape[:2], *size))
    made[:, :, :: op.dilation[0], :: op.dilation[1]] = op.weight
    return replace(op, weight=made, dilation=(1, 1))
