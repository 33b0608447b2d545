"""The populations and projections that are found while a model or graph is lowered: where streams end in neurons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf, prod

import numpy as np

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.composition import as_matrices, merged
from kdsnn.export.lowering.linear_stream import FloatArray, Stream, Term, identity
from kdsnn.network import Conv2d, Dense, Neuron, Population, Projection, Shape

__all__ = ["STEADY", "Builder"]

STEADY = "steady_"  # begins the name of a population that fires at every step


@dataclass
class Builder:
    """Populations and projections in the order in which they are made.

    Attributes:
        populations: the first is the input.
        input_scale: what the model sees for a pixel of 1. Folds into the weights that the input enters.
        projections: between them.
    """

    populations: list[Population]
    input_scale: float
    projections: list[Projection] = field(default_factory=list)

    def free_name(self, wanted: str) -> str:
        """A name like the one that is wanted that no population has yet."""
        name = re.sub(r"[^A-Za-z0-9_-]", "_", wanted)
        taken = {population.name for population in self.populations}
        others = (f"{name}_{i}" for i in count(2))
        return name if name not in taken else next(other for other in others if other not in taken)

    def spiking(
        self,
        stream: Stream,
        name: str,
        threshold: float,
        *,
        bias: FloatArray | None = None,
        decay_u: float = 1.0,
        decay_v: float = 0.0,
        reset_by: float | None = None,
    ) -> Stream:
        """Ends a stream: makes the population that it drives, and starts the stream of its spikes.

        The stream's offset becomes a bias, which hardware adds to the potential. A constant drive of a current that
        decays enters as the spikes of a steady population. An infinite threshold makes integrators that never fire.
        Late terms of the stream are the population's own spikes.

        Raises:
            LoweringError: they are others'.
        """
        _check_own(stream, name)
        stream = merged(stream)
        bias = np.zeros(stream.shape) if bias is None else bias
        if decay_u == 1:
            bias = bias + stream.offset
        elif stream.offset.any():
            stream = self._driven(stream, name)
        shape = stream.terms[0].shape
        neuron = Neuron(
            threshold, bias.reshape(-1), decay_u=decay_u, decay_v=decay_v, fires=threshold < inf, reset_by=reset_by
        )
        self.populations.append(Population(name, shape, neuron))
        for term in stream.terms:
            self._project(term.source, name, term.op if term.op is not None else identity(term.source_shape))
        return replace(streams.spikes_of(name, shape), shape=stream.shape, offset=np.zeros(stream.shape))

    def recur(self, name: str, stream: Stream) -> None:
        """Adds what the spikes of a population bring to itself, one step later: a stream of late terms.

        Raises:
            LoweringError: they are another population's, or no convolution where the population is an image.
        """
        _check_own(stream, name)
        (term,) = merged(stream).terms
        place = next(i for i, population in enumerate(self.populations) if population.name == name)
        shape = self.populations[place].shape
        if term.shape != shape and term.shape != (prod(shape),):
            term = as_matrices(replace(stream, terms=(term,))).terms[0]
        if term.shape != shape:
            raise LoweringError(
                f"its neurons are an image {shape}, and what they feed themselves with is no convolution of it",
                hint="flatten the drive, or use one weight a channel",
            )
        self._project(name, name, term.op if term.op is not None else identity(term.source_shape))

    def _driven(self, stream: Stream, name: str) -> Stream:
        """The stream with its offset as one more term: convolutions, while a channel has one drive, else matrices."""
        channel = stream.offset.reshape(stream.shape[0], -1)
        if len(self.populations[0].shape) != 3 or (channel != channel[:, :1]).any():
            stream = as_matrices(stream)
        drive = stream.offset.reshape(stream.terms[0].shape)
        return replace(stream, terms=(*stream.terms, self._steady(drive, name)))

    def _steady(self, drive: FloatArray, name: str) -> Term:
        """A constant drive as a term: a population that fires at every step, with the drive as its weights.

        For an image it has a neuron for each pixel that drives all channels, so that the padding of nothing is needed.
        The rules of a network want it to have an input: weights of zero.
        """
        source = self.populations[0]
        if drive.ndim == 1:
            shape: Shape = (1,)
            op: Conv2d | Dense = Dense(drive.reshape(-1, 1))
            silent: Conv2d | Dense = Dense(np.zeros((1, source.neurons)))
        else:
            shape = (1, *drive.shape[1:])
            op, silent = Conv2d(drive[:, 0, 0].reshape(-1, 1, 1, 1)), _silent(source.shape, shape)
        made = STEADY + name
        self.populations.append(Population(made, shape, Neuron(0.5, np.ones(prod(shape)), decay_u=1.0, decay_v=0.0)))
        self._project(source.name, made, silent)
        return Term(made, shape, op)

    def _project(self, source: str, target: str, op: Conv2d | Dense) -> None:
        if source == self.populations[0].name:
            op = replace(op, weight=op.weight * self.input_scale)
        self.projections.append(Projection(source, target, op))


def _check_own(stream: Stream, name: str) -> None:
    """Raises LoweringError unless spikes of the step before are the population's own."""
    others = sorted({term.source for term in stream.terms if term.late} - {name})
    if others:
        raise LoweringError(
            f"spikes of {', '.join(map(repr, others))} reach it one time step late", hint=streams.ONE_STEP
        )


def _silent(source: Shape, target: Shape) -> Conv2d:
    """A convolution of zeros, as small as it can be, from one shape to another of one channel."""
    axes = []
    for n, m in zip(source[1:], target[1:], strict=True):
        stride, padding = (n // m, 0) if m <= n else (1, (m - n + 1) // 2)
        axes.append((n + 2 * padding - (m - 1) * stride, stride, padding))
    kernel, stride_, padding_ = zip(*axes, strict=True)
    return Conv2d(np.zeros((1, source[0], *kernel)), stride_, padding_)
