"""Where streams meet in one population: factors for each neuron, and one projection for each source.

Two convolutions of one source and stride are one convolution, with the smaller kernel padded to the larger.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from math import prod

import numpy as np

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_stream import FloatArray, Stream, Term
from kdsnn.network import Conv2d, Dense, Shape

__all__ = ["identity", "merged", "same_sized", "scaled"]

MAX_CELLS = 2**24  # of a kernel made here
MAX_SQUARE = 2**13  # neurons of a layer for which a square matrix is made


def scaled(stream: Stream, factor: FloatArray) -> Stream:
    """The stream times a factor for each element, `stream.shape`.

    Raises:
        LoweringError: the factor differs within a channel of a convolution.
    """
    if (factor == 1).all():
        return stream
    try:
        terms = tuple(_scaled_term(t, factor) for t in stream.terms)
    except LoweringError:
        if len(stream.shape) != 1:
            raise
        stream = _as_dense(stream)
        terms = tuple(_scaled_term(t, factor) for t in stream.terms)
    return replace(stream, terms=terms, offset=stream.offset * factor)


def _scaled_term(term: Term, factor: FloatArray) -> Term:
    op = term.op if term.op is not None else identity(term.source_shape)
    if isinstance(op, Dense):
        return replace(term, op=Dense(op.weight * factor.reshape(-1, 1)))
    channel = factor.reshape(len(op.weight), -1)
    if (channel != channel[:, :1]).any():
        raise LoweringError("a threshold, r or scale differs within a channel, where a convolution has one weight")
    return replace(term, op=replace(op, weight=op.weight * channel[:, 0].reshape(-1, 1, 1, 1)))


def _as_dense(stream: Stream) -> Stream:
    """A flat stream whose terms are all matrices."""
    if stream.shape[0] > MAX_SQUARE:
        raise LoweringError(f"it would take a matrix of {stream.shape[0]} rows and columns")
    return streams.multiply(stream, np.eye(stream.shape[0]))


def identity(shape: Shape) -> Conv2d | Dense:
    """The map of a population's spikes to themselves."""
    if len(shape) == 1 and shape[0] > MAX_SQUARE:
        raise LoweringError(f"it would take a matrix of {shape[0]} rows and columns")
    return streams.diagonal(np.ones(shape[0]), shape)


def merged(stream: Stream) -> Stream:
    """The stream with one term a source, all of one shape: a pair of populations has one projection."""
    by_source: dict[str, list[Term]] = {}
    for term in stream.terms:
        by_source.setdefault(term.source, []).append(term)
    try:
        terms = tuple(reduce(_sum_of, same) for same in by_source.values())
    except LoweringError:
        if len(stream.shape) != 1:
            raise
        return merged(_as_dense(stream))
    if len({term.shape for term in terms}) > 1:
        return _as_dense(replace(stream, terms=terms))
    return replace(stream, terms=terms)


def _sum_of(first: Term, second: Term) -> Term:
    """The sum of two maps of one source: of two convolutions, one that has the weights of both."""
    a, b = (t.op if t.op is not None else identity(t.source_shape) for t in (first, second))
    if isinstance(a, Dense) and isinstance(b, Dense):
        return replace(first, op=Dense(a.weight + b.weight))
    if not (isinstance(a, Conv2d) and isinstance(b, Conv2d)) or a.stride != b.stride:
        raise LoweringError(
            f"two paths from population {first.source!r} meet in it that are no one convolution",
            hint="put a neuron into one of them",
        )
    if a.groups != b.groups:
        a, b = _ungrouped(a), _ungrouped(b)
    if a.dilation != b.dilation:
        a, b = (replace(c, weight=_undilated(c.weight, c.dilation), dilation=(1, 1)) for c in (a, b))
    assert a.dilation == b.dilation  # noqa: S101  made so above
    if a.dilation != (1, 1) and (a.padding != b.padding or a.weight.shape != b.weight.shape):
        a, b = (replace(c, weight=_undilated(c.weight, c.dilation), dilation=(1, 1)) for c in (a, b))
    padding = (max(a.padding[0], b.padding[0]), max(a.padding[1], b.padding[1]))
    before = [[p - q for p, q in zip(padding, c.padding, strict=True)] for c in (a, b)]
    size = [max(c.weight.shape[i + 2] + 2 * s[i] for c, s in zip((a, b), before, strict=True)) for i in (0, 1)]
    padded = [
        np.pad(c.weight, ((0, 0), (0, 0), *((s[i], size[i] - c.weight.shape[i + 2] - s[i]) for i in (0, 1))))
        for c, s in zip((a, b), before, strict=True)
    ]
    made = replace(first, op=replace(a, weight=padded[0] + padded[1], padding=padding))
    if made.shape != first.shape:
        raise LoweringError(f"two paths from population {first.source!r} meet in it that reach unequally far")
    return made


def _ungrouped(op: Conv2d) -> Conv2d:
    rows, per_group = op.weight.shape[:2]
    weight = np.zeros((rows, per_group * op.groups, *op.weight.shape[2:]))
    for row in range(rows):
        start = row // (rows // op.groups) * per_group
        weight[row, start : start + per_group] = op.weight[row]
    return replace(op, weight=weight, groups=1)


def _undilated(weight: FloatArray, dilation: tuple[int, int]) -> FloatArray:
    """The kernel with the zeros that dilation puts between its cells."""
    size = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if prod(weight.shape[:2]) * prod(size) > MAX_CELLS:
        raise LoweringError(f"its kernel would have {size} cells")
    made = np.zeros((*weight.shape[:2], *size))
    made[:, :, :: dilation[0], :: dilation[1]] = weight
    return made


def same_sized(weight: FloatArray, dilation: tuple[int, int], groups: int) -> Conv2d:
    """padding='same' as torch has it: an odd row or column of zeros goes to the end."""
    if any(d * (k - 1) % 2 for d, k in zip(dilation, weight.shape[2:], strict=True)):
        weight, dilation = _undilated(weight, dilation), (1, 1)
        even = [1 - k % 2 for k in weight.shape[2:]]
        weight = np.pad(weight, ((0, 0), (0, 0), (even[0], 0), (even[1], 0)))
    padding = tuple(d * (k - 1) // 2 for d, k in zip(dilation, weight.shape[2:], strict=True))
    return Conv2d(weight, (1, 1), (padding[0], padding[1]), dilation, groups)
