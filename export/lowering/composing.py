"""Two linear maps in a row as one: what stands between two populations is one projection, exactly.

Two convolutions are one convolution as long as the second pads nothing but what the first makes zero anyway. Else, and
where a matrix is among them, they are a matrix (`unrolling.py`).
"""

from __future__ import annotations

from itertools import product
from math import gcd, prod

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.unrolling import MAX_WEIGHTS, check_size, check_work, grouped_alike, unrolled
from kdsnn.network import Conv2d, Dense, Shape

__all__ = ["composed"]

FloatArray = npt.NDArray[np.float64]
ROWS_AT_ONCE = 256  # of a matrix that goes through a convolution


def composed(first: Conv2d | Dense | None, source: Shape, second: Conv2d | Dense, middle: Shape) -> Conv2d | Dense:
    """One map that equals `second` after `first`.

    Args:
        first: from a population of shape `source`; None is the identity.
        source: shape of that population.
        second: from what `first` makes.
        middle: the shape that `second` sees it in.

    Raises:
        LoweringError: it would have too many weights; says how many.
    """
    if first is None:
        return second if source == middle or isinstance(second, Dense) else unrolled(second, middle)
    if isinstance(second, Dense):
        return _then_matrix(first, source, second)
    if isinstance(first, Dense):
        return _then_convolution(first, second, middle)
    if _is_convolution(first, second, source, middle):
        return _convolutions(first, second)
    try:
        return _then_convolution(unrolled(first, source), second, middle)
    except LoweringError as error:
        reason = f"it and the layer before it, with no neuron between them, are no convolution, and {error.message}"
        raise LoweringError(reason, hint=error.hint) from error


def _is_convolution(first: Conv2d, second: Conv2d, source: Shape, middle: Shape) -> bool:
    """Whether every window of `first` that `second` takes for padding lies outside the image."""
    weights = len(second.weight) * source[0] // gcd(first.groups, second.groups) * prod(_kernel(first, second))
    return weights <= MAX_WEIGHTS and all(_pads_nothing(first, second, axis, source, middle) for axis in (0, 1))


def _pads_nothing(first: Conv2d, second: Conv2d, axis: int, source: Shape, middle: Shape) -> bool:
    size, seen = source[axis + 1], middle[axis + 1]
    outputs = np.arange(second.output_shape(middle)[axis + 1])[:, None] * second.stride[axis]
    read = np.unique(outputs - second.padding[axis] + np.arange(second.weight.shape[axis + 2]) * second.dilation[axis])
    padded = read[(read < 0) | (read >= seen)][:, None] * first.stride[axis]
    places = padded - first.padding[axis] + np.arange(first.weight.shape[axis + 2]) * first.dilation[axis]
    return bool(((places < 0) | (places >= size)).all())


def _kernel(first: Conv2d, second: Conv2d) -> tuple[int, int]:
    """Height and width of the kernel of both."""
    spread = [d * (k - 1) + 1 for d, k in zip(first.dilation, first.weight.shape[2:], strict=True)]
    steps = [d * s * (k - 1) for d, s, k in zip(second.dilation, first.stride, second.weight.shape[2:], strict=True)]
    return spread[0] + steps[0], spread[1] + steps[1]


def _convolutions(first: Conv2d, second: Conv2d) -> Conv2d:
    """Each tap of the second puts the first's kernel, mixed by its channels, where it reads."""
    one, two = grouped_alike(first, second)
    groups = one.groups
    check_work(two.weight.size * one.weight[0].size)
    kernels = one.weight.reshape(groups, -1, *one.weight.shape[1:])
    mixing = two.weight.reshape(groups, -1, *two.weight.shape[1:])
    size, reach = _kernel(first, second), [d * s for d, s in zip(second.dilation, first.stride, strict=True)]
    weight = np.zeros((groups, mixing.shape[1], kernels.shape[2], *size))
    for y, x in product(*map(range, second.weight.shape[2:])):
        rows, columns = (
            slice(t * r, t * r + d * (k - 1) + 1, d)
            for t, r, d, k in zip((y, x), reach, first.dilation, first.weight.shape[2:], strict=True)
        )
        weight[..., rows, columns] += np.einsum("gom,gmiyx->goiyx", mixing[..., y, x], kernels, optimize=True)
    pairs = zip(first.stride, second.stride, first.padding, second.padding, strict=True)
    strides, paddings = zip(*((s1 * s2, p1 + p2 * s1) for s1, s2, p1, p2 in pairs), strict=True)
    return Conv2d(weight.reshape(-1, kernels.shape[2], *size), strides, paddings, groups=groups)


def _then_convolution(first: Dense, second: Conv2d, middle: Shape) -> Dense:
    """The matrix whose columns, each an image, go through the convolution."""
    columns, outputs = first.weight.shape[1], prod(second.output_shape(middle))
    check_size(outputs * columns, "a matrix")
    check_work(outputs * columns * second.weight[0].size)
    made = np.empty((columns, outputs))
    weight = torch.tensor(second.weight, dtype=torch.float64)
    for start in range(0, columns, ROWS_AT_ONCE):
        images = torch.tensor(first.weight.T[start : start + ROWS_AT_ONCE], dtype=torch.float64)
        made[start : start + len(images)] = F.conv2d(
            images.reshape(-1, *middle), weight, None, second.stride, second.padding, second.dilation, second.groups
        ).flatten(1)
    return Dense(made.T)


def _then_matrix(first: Conv2d | Dense, source: Shape, second: Dense) -> Dense:
    """The rows of a matrix, sent back through the adjoint of the map before it."""
    check_size(len(second.weight) * prod(source), "a matrix")
    if isinstance(first, Dense):
        check_work(len(second.weight) * first.weight.size)
        return Dense(second.weight @ first.weight)
    check_work(second.weight.size * first.weight[0].size)
    made = first.output_shape(source)
    axes = zip(made[1:], first.stride, first.padding, first.dilation, first.weight.shape[2:], strict=True)
    reached = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in axes]
    back = F.conv_transpose2d(
        torch.tensor(second.weight.reshape(-1, *made)),
        torch.tensor(first.weight),
        stride=first.stride,
        padding=first.padding,
        output_padding=[n - r for n, r in zip(source[1:], reached, strict=True)],
        groups=first.groups,
        dilation=first.dilation,
    )
    return Dense(back.flatten(1).numpy())
