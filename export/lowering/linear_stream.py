"""What flows between two populations while a model is lowered: a linear function of the spikes of some populations.

A `Stream` is a sum of terms, each a linear map of one population's spikes, plus a constant offset for every neuron.
Linear layers (convolution, BatchNorm, average pooling, sums) map streams to streams; they fold into the terms.
Everything is in float64, so that folding adds no error that matters. A term may be a matrix where the stream is an
image: it makes the image's elements in row-major order, and the population that the stream ends in is flat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.composing import composed
from kdsnn.export.lowering.unrolling import diagonal, unrolled
from kdsnn.network import Conv2d, Dense, Shape
from kdsnn.network.linear_maps import apply

__all__ = [
    "ONE_STEP",
    "Stream",
    "Term",
    "add",
    "average_pool",
    "convolve",
    "delayed",
    "flatten",
    "identity",
    "multiply",
    "scale",
    "scale_channels",
    "spikes_of",
]

ONE_STEP = "a population may take its own spikes of the step before: longer delays and loops cannot be lowered"
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Term:
    """A linear map of the spikes of the population `source`; the identity where `op` is None.

    Where it is `late`, the spikes are those of the time step before.
    """

    source: str
    source_shape: Shape
    op: Conv2d | Dense | None = None
    late: bool = False

    @property
    def shape(self) -> Shape:
        """Shape that the source is mapped to: flat, where the map is a matrix."""
        return self.source_shape if self.op is None else self.op.output_shape(self.source_shape)


@dataclass(frozen=True, eq=False)
class Stream:
    """A sum of terms and an offset of the given shape, one value a neuron."""

    shape: Shape
    terms: tuple[Term, ...]
    offset: FloatArray

    @property
    def is_spikes(self) -> bool:
        """Whether this is one population's spikes, unchanged and of the same time step."""
        alone = len(self.terms) == 1 and self.terms[0].op is None and not self.terms[0].late
        return alone and not self.offset.any()


def spikes_of(name: str, shape: Shape) -> Stream:
    """The spikes of a population."""
    return Stream(shape, (Term(name, shape),), np.zeros(shape))


def add(first: Stream, second: Stream) -> Stream:
    """The sum of two streams of one shape."""
    if first.shape != second.shape:
        raise LoweringError(f"a sum of shapes {first.shape} and {second.shape}")
    return Stream(first.shape, first.terms + second.terms, first.offset + second.offset)


def delayed(stream: Stream, still: str | None) -> Stream:
    """The stream of the time step before; a `still` source sends the same at every step.

    Raises:
        LoweringError: it holds spikes of the step before already.
    """
    moving = [term for term in stream.terms if term.source != still]
    if any(term.late for term in moving):
        raise LoweringError("it takes spikes of two time steps before", hint=ONE_STEP)
    return replace(stream, terms=tuple(replace(t, late=t.source != still) for t in stream.terms))


def flatten(stream: Stream) -> Stream:
    """The stream in row-major order, `(neurons,)`."""
    shape = (prod(stream.shape),)
    return replace(stream, shape=shape, offset=stream.offset.reshape(shape))


def scale_channels(stream: Stream, factor: FloatArray, shift: FloatArray) -> Stream:
    """`factor * stream + shift`, both `(channels,)`: what BatchNorm and normalisation do."""
    column = (-1, *([1] * (len(stream.shape) - 1)))
    scaled = scale(stream, np.broadcast_to(factor.reshape(column), stream.shape))
    return replace(scaled, offset=scaled.offset + shift.reshape(column))


def scale(stream: Stream, factor: FloatArray) -> Stream:
    """The stream times a factor for each element, `stream.shape`.

    Raises:
        LoweringError: the factor differs within a channel, and the matrix that this takes would be too large.
    """
    if (factor == 1).all():
        return stream
    terms = tuple(replace(t, op=_scaled(t, factor)) for t in stream.terms)
    return replace(stream, terms=terms, offset=stream.offset * factor)


def _scaled(term: Term, factor: FloatArray) -> Conv2d | Dense:
    """A convolution while each of its channels has one factor, else a matrix."""
    op = identity(term.source_shape) if term.op is None else term.op
    if isinstance(op, Conv2d):
        channel = factor.reshape(len(op.weight), -1)
        if (channel == channel[:, :1]).all():
            return replace(op, weight=op.weight * channel[:, 0].reshape(-1, 1, 1, 1))
        op = unrolled(op, term.source_shape)
    return Dense(op.weight * factor.reshape(-1, 1))


def identity(shape: Shape) -> Conv2d | Dense:
    """The map of a population's spikes to themselves."""
    if len(shape) == 3:
        return Conv2d(np.ones((shape[0], 1, 1, 1)), groups=shape[0])
    return diagonal(np.ones(shape))


def average_pool(
    stream: Stream, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int] = (0, 0)
) -> Stream:
    """The mean over windows; zero padding counts as cells."""
    channels = stream.shape[0]
    weight = np.full((channels, 1, *kernel), 1.0 / prod(kernel))
    return convolve(stream, Conv2d(weight, stride, padding, groups=channels))


def convolve(stream: Stream, op: Conv2d, bias: FloatArray | None = None) -> Stream:
    """The convolution of a stream, zero padding and all. `bias` is `(C_out,)`."""
    shape = op.output_shape(stream.shape)
    offset = apply(op, stream.offset[None])[0] if stream.offset.any() else np.zeros(shape)
    return Stream(shape, _through(stream, op), offset if bias is None else offset + bias.reshape(-1, 1, 1))


def multiply(stream: Stream, weight: FloatArray, bias: FloatArray | None = None) -> Stream:
    """The matrix product with a flat stream. `weight` is `(out, in)`, `bias` is `(out,)`."""
    offset = weight @ stream.offset
    return Stream((len(weight),), _through(stream, Dense(weight)), offset if bias is None else offset + bias)


def _through(stream: Stream, op: Conv2d | Dense) -> tuple[Term, ...]:
    return tuple(replace(t, op=composed(t.op, t.source_shape, op, stream.shape)) for t in stream.terms)
