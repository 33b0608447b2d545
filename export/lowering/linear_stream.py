"""What flows between two populations while a model is lowered: a linear function of the spikes of some populations.

A `Stream` is a sum of terms, each a linear map of one population's spikes, plus a constant offset for every neuron.
Linear layers (convolution, BatchNorm, average pooling, sums) map streams to streams; they fold into the terms.
Everything is in float64, so that folding adds no error that matters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from kdsnn.errors import LoweringError
from kdsnn.network import Conv2d, Dense, Shape
from kdsnn.network.linear_maps import apply

__all__ = [
    "Stream",
    "Term",
    "add",
    "average_pool",
    "convolve",
    "diagonal",
    "flatten",
    "multiply",
    "scale_channels",
    "spikes_of",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Term:
    """A linear map of the spikes of the population `source`; the identity where `op` is None."""

    source: str
    source_shape: Shape
    op: Conv2d | Dense | None = None

    @property
    def shape(self) -> Shape:
        """Shape that the source is mapped to."""
        return self.source_shape if self.op is None else self.op.output_shape(self.source_shape)


@dataclass(frozen=True, eq=False)
class Stream:
    """A sum of terms and an offset of the given shape, one value a neuron."""

    shape: Shape
    terms: tuple[Term, ...]
    offset: FloatArray

    @property
    def is_spikes(self) -> bool:
        """Whether this is one population's spikes, unchanged."""
        return len(self.terms) == 1 and self.terms[0].op is None and not self.offset.any()


def spikes_of(name: str, shape: Shape) -> Stream:
    """The spikes of a population."""
    return Stream(shape, (Term(name, shape),), np.zeros(shape))


def add(first: Stream, second: Stream) -> Stream:
    """The sum of two streams of one shape."""
    if first.shape != second.shape:
        raise LoweringError(f"a sum of shapes {first.shape} and {second.shape}")
    return Stream(first.shape, first.terms + second.terms, first.offset + second.offset)


def flatten(stream: Stream) -> Stream:
    """The stream in row-major order, `(neurons,)`."""
    shape = (prod(stream.shape),)
    return replace(stream, shape=shape, offset=stream.offset.reshape(shape))


def scale_channels(stream: Stream, factor: FloatArray, shift: FloatArray) -> Stream:
    """`factor * stream + shift`, both `(channels,)`: what BatchNorm and normalisation do."""
    column = (-1, *([1] * (len(stream.shape) - 1)))
    offset = stream.offset * factor.reshape(column) + shift.reshape(column)
    return replace(stream, terms=tuple(_scaled(t, factor) for t in stream.terms), offset=offset)


def _scaled(term: Term, factor: FloatArray) -> Term:
    if term.op is None:
        return replace(term, op=diagonal(factor, term.source_shape))
    weight = term.op.weight
    return replace(term, op=replace(term.op, weight=weight * factor.reshape(-1, *([1] * (weight.ndim - 1)))))


def diagonal(factor: FloatArray, shape: Shape) -> Conv2d | Dense:
    """The map that multiplies each channel, or each flat element, by a factor of its own."""
    if len(shape) == 3:
        return Conv2d(factor.reshape(-1, 1, 1, 1), groups=shape[0])
    return Dense(np.diag(factor))


def average_pool(
    stream: Stream, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int] = (0, 0)
) -> Stream:
    """The mean over windows; zero padding counts as cells."""
    channels = stream.shape[0]
    weight = np.full((channels, 1, *kernel), 1.0 / prod(kernel))
    return convolve(stream, Conv2d(weight, stride, padding, groups=channels))


def convolve(stream: Stream, op: Conv2d, bias: FloatArray | None = None) -> Stream:
    """The convolution of a stream, zero padding and all. `bias` is `(C_out,)`."""
    terms = tuple(replace(t, op=op if t.op is None else _compose(t, op)) for t in stream.terms)
    offset = apply(op, stream.offset[None])[0]
    if bias is not None:
        offset = offset + bias.reshape(-1, 1, 1)
    return Stream(op.output_shape(stream.shape), terms, offset)


def multiply(stream: Stream, weight: FloatArray, bias: FloatArray | None = None) -> Stream:
    """The matrix product with a flat stream. `weight` is `(out, in)`, `bias` is `(out,)`."""
    op = Dense(weight)
    terms = tuple(replace(t, op=op if t.op is None else _compose_dense(t, op)) for t in stream.terms)
    offset = weight @ stream.offset
    return Stream((len(weight),), terms, offset if bias is None else offset + bias)


def _compose(term: Term, second: Conv2d) -> Conv2d:
    """One convolution that equals `second` after the term's own; one of the two must keep channels apart."""
    first = term.op
    if not isinstance(first, Conv2d):
        raise LoweringError("a convolution after a linear layer, with no neuron between them")
    if any(second.padding) and not _covers_exactly(first, term.source_shape):
        raise LoweringError(
            "a padded convolution after another that reaches beyond the image, with no neuron between them: "
            "the two together are no convolution",
            hint="put a neuron between them, or make the pooled size a divisor of the image size",
        )
    if _is_depthwise(first):
        kernels, groups = _expand(first, second), second.groups
    elif _is_depthwise(second):
        kernels, groups = first.weight, first.groups
    else:
        raise LoweringError("two convolutions in a row, with no neuron between them", hint="put a neuron between them")
    reach = [d * s for d, s in zip(second.dilation, first.stride, strict=True)]
    spread = [d * (k - 1) + 1 for d, k in zip(first.dilation, first.weight.shape[2:], strict=True)]
    size = [r * (k - 1) + n for r, k, n in zip(reach, second.weight.shape[2:], spread, strict=True)]
    weight = np.zeros((*kernels.shape[:2], *size))
    for y, x in product(*map(range, second.weight.shape[2:])):
        rows = slice(y * reach[0], y * reach[0] + spread[0], first.dilation[0])
        columns = slice(x * reach[1], x * reach[1] + spread[1], first.dilation[1])
        weight[:, :, rows, columns] += second.weight[:, :, y, x][:, :, None, None] * kernels
    pairs = zip(first.stride, second.stride, first.padding, second.padding, strict=True)
    stride_padding = [(s1 * s2, p1 + p2 * s1) for s1, s2, p1, p2 in pairs]
    strides, paddings = zip(*stride_padding, strict=True)
    return Conv2d(weight, strides, paddings, groups=groups)


def _expand(first: Conv2d, second: Conv2d) -> FloatArray:
    """The depthwise kernels of `first`, `(C_out, C_in / groups, kh, kw)`, for each channel that `second` reads."""
    c_out, c_in = second.weight.shape[:2]
    group = np.arange(c_out) // (c_out // second.groups)
    kernels: FloatArray = first.weight[group[:, None] * c_in + np.arange(c_in)[None, :], 0]
    return kernels


def _is_depthwise(op: Conv2d) -> bool:
    return bool(op.groups == op.weight.shape[0] and op.weight.shape[1] == 1)


def _covers_exactly(op: Conv2d, source: Shape) -> bool:
    """Whether a window beyond the output would lie wholly outside the image, so that zero padding stays zero."""
    return all(
        k == s and p == 0 and d == 1 and n % k == 0
        for k, s, p, d, n in zip(op.weight.shape[2:], op.stride, op.padding, op.dilation, source[1:], strict=True)
    )


def _compose_dense(term: Term, second: Dense) -> Dense:
    """One matrix that equals `second` after the term's own map: its rows, sent back through that map's adjoint."""
    first = term.op
    if isinstance(first, Dense):
        return Dense(second.weight @ first.weight)
    if first is None:
        return second
    rows = torch.tensor(second.weight.reshape(-1, *term.shape))
    reached = [
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(
            term.shape[1:], first.stride, first.padding, first.dilation, first.weight.shape[2:], strict=True
        )
    ]
    missing = [n - r for n, r in zip(term.source_shape[1:], reached, strict=True)]
    back = F.conv_transpose2d(
        rows,
        torch.tensor(first.weight),
        stride=first.stride,
        padding=first.padding,
        output_padding=missing,
        groups=first.groups,
        dilation=first.dilation,
    )
    return Dense(back.flatten(1).numpy())
