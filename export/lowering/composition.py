"""Where streams meet in one population: one projection for each source.

Two convolutions of one source and stride are one convolution, with the smaller kernel padded to the larger. Maps that
are no one convolution are added as matrices.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.linear_stream import FloatArray, Stream, Term, identity
from kdsnn.export.lowering.unrolling import grouped_alike, undilated, unrolled
from kdsnn.network import Conv2d, Dense

__all__ = ["as_matrices", "gathered", "merged", "same_sized"]

MOST_TERMS = 16  # of a stream, beyond two for each of its sources


def as_matrices(stream: Stream) -> Stream:
    """The stream with matrices for terms.

    Raises:
        LoweringError: one would be too large.
    """
    return replace(stream, terms=tuple(replace(t, op=_matrix(t)) for t in stream.terms))


def merged(stream: Stream) -> Stream:
    """The stream with one term a source and step, all of one shape: a pair of populations has one projection.

    Raises:
        LoweringError: it would take matrices that are too large.
    """
    by_source: dict[tuple[str, bool], list[Term]] = {}
    for term in stream.terms:
        by_source.setdefault((term.source, term.late), []).append(term)
    stream = replace(stream, terms=tuple(reduce(_sum, same) for same in by_source.values()))
    return stream if len({term.shape for term in stream.terms}) == 1 else as_matrices(stream)


def gathered(stream: Stream) -> Stream:
    """The stream, merged where its terms are far more than its sources: branches that part and meet double them."""
    sources = {(term.source, term.late) for term in stream.terms}
    return stream if len(stream.terms) <= MOST_TERMS + 2 * len(sources) else merged(stream)


def _sum(first: Term, second: Term) -> Term:
    """The sum of two maps of one source."""
    a, b = (t.op if t.op is not None else identity(t.source_shape) for t in (first, second))
    try:
        both = _one_convolution(a, b) if isinstance(a, Conv2d) and isinstance(b, Conv2d) else None
        if both is not None and (summed := replace(first, op=both)).shape == first.shape == second.shape:
            return summed
        return replace(first, op=Dense(_matrix(first).weight + _matrix(second).weight))
    except LoweringError as error:
        raise LoweringError(
            f"two paths from population {first.source!r} meet in it that are no one convolution: {error.message}",
            hint="put a neuron into one of them",
        ) from error


def _matrix(term: Term) -> Dense:
    return unrolled(term.op if term.op is not None else identity(term.source_shape), term.source_shape)


def _one_convolution(a: Conv2d, b: Conv2d) -> Conv2d | None:
    """A convolution that has the weights of both; None where they step unequally."""
    if a.stride != b.stride:
        return None
    a, b = grouped_alike(a, b)
    if a.dilation != b.dilation or (
        a.dilation != (1, 1) and (a.padding, a.weight.shape) != (b.padding, b.weight.shape)
    ):
        a, b = undilated(a), undilated(b)
    padding = (max(a.padding[0], b.padding[0]), max(a.padding[1], b.padding[1]))
    before = [[p - q for p, q in zip(padding, c.padding, strict=True)] for c in (a, b)]
    size = [max(c.weight.shape[i + 2] + 2 * s[i] for c, s in zip((a, b), before, strict=True)) for i in (0, 1)]
    padded = [
        np.pad(c.weight, ((0, 0), (0, 0), *((s[i], size[i] - c.weight.shape[i + 2] - s[i]) for i in (0, 1))))
        for c, s in zip((a, b), before, strict=True)
    ]
    return replace(a, weight=padded[0] + padded[1], padding=padding)


def same_sized(weight: FloatArray, dilation: tuple[int, int], groups: int) -> Conv2d:
    """padding='same' as torch has it: an odd row or column of zeros goes to the end."""
    op = Conv2d(weight, dilation=dilation, groups=groups)
    if any(d * (k - 1) % 2 for d, k in zip(dilation, weight.shape[2:], strict=True)):
        op = undilated(op)
        even = [1 - k % 2 for k in op.weight.shape[2:]]
        op = replace(op, weight=np.pad(op.weight, ((0, 0), (0, 0), (even[0], 0), (even[1], 0))))
    padding = tuple(d * (k - 1) // 2 for d, k in zip(op.dilation, op.weight.shape[2:], strict=True))
    return replace(op, padding=(padding[0], padding[1]))
