"""What is kept while a foreign NIR graph is read: the options, and the populations and projections found so far."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from math import prod

import nir
import numpy as np

from kdsnn.errors import InputError, LoweringError
from kdsnn.export import stream as streams
from kdsnn.export.combine import identity, merged, scaled
from kdsnn.export.stream import FloatArray, Stream, Term
from kdsnn.network import Conv2d, Dense, Input, Neuron, Population, Projection, Shape

__all__ = ["MAX_CELLS", "Port", "Reader", "shown"]

MAX_CELLS = 2**24  # of a stream, padding included
NAME_LENGTH = 80  # leaves room for what is added to a name
STEADY = "steady_"  # begins the name of a population that fires at every step


class Port(Enum):
    """The Input or Output of a graph in a graph: hands on what it gets."""

    IN = "in"
    OUT = "out"


def shown(name: str | Sequence[str]) -> str:
    """A node's name for a message: quoted and not too long."""
    whole = name if isinstance(name, str) else "_".join(name)
    return repr(whole if len(whole) <= 100 else whole[:97] + "...")


@dataclass
class Reader:
    """The options of reading, and the populations and projections found so far."""

    dt: float | None
    input_scale: float
    fires_at: str
    solve: str
    populations: list[Population] = field(default_factory=list)
    projections: list[Projection] = field(default_factory=list)

    def start(self, name: str, node: nir.Input, input_shape: Shape | None) -> Stream:
        """The input population, and the stream of its raw pixels; `spiking` scales what it sends."""
        found = node.input_type.get("input") if isinstance(node.input_type, dict) else None
        said = input_shape if found is None else tuple(int(n) for n in np.asarray(found).reshape(-1))
        if said is not None and len(said) in (2, 4) and (said[0] == 1 or input_shape is not None):
            said = said[1:]  # of a batch, or of time
        if said is None or len(said) not in (1, 3) or min(said) < 1 or prod(said) > MAX_CELLS:
            raise InputError(
                f"node {shown(name)} (Input) has shape {said}, neither (N,) nor (C, H, W)",
                hint="say the shape of an image with input_shape (--input-shape)",
            )
        shape = said if input_shape is None else tuple(input_shape)
        if prod(shape) != prod(said) or (len(said) == 3 and shape != said):
            raise InputError(f"node {shown(name)} (Input) has shape {said}, and an image {shape}")
        self.populations.append(Population(self.free_name(name), shape, Input(bits=8)))
        stream = streams.spikes_of(self.populations[0].name, shape)
        return stream if shape == said else streams.flatten(stream)

    def free_name(self, name: str) -> str:
        """A valid name for a population, like the node's, that no population has yet.

        `output`, `_flatten` and `_to_` are what our NIR writer makes names of its own with.
        """
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name[:NAME_LENGTH]).replace("_to_", "-to-")
        safe = re.sub(r"(_flatten)+$", "", re.sub(r"^[^A-Za-z0-9_]", "_", safe)) or "_"
        taken = {"output"} | {p.name for p in self.populations}
        return next(n for n in [safe, *(f"{safe}_{i}" for i in range(2, len(taken) + 3))] if n not in taken)

    def spiking(
        self, stream: Stream, name: str, threshold: FloatArray, bias: FloatArray, decay_u: float, decay_v: float
    ) -> Stream:
        """Ends a stream: makes the population that it drives, and starts the stream of its spikes.

        Thresholds that differ between neurons become one: each neuron is scaled by its own, which changes nothing, as
        it is reset to zero. A constant drive of a current that decays enters as the spikes of a steady population.
        """
        if (threshold != threshold.flat[0]).any():
            stream, bias, threshold = scaled(stream, 1 / threshold), bias / threshold, np.ones(1)
        stream = merged(stream)
        shape = stream.terms[0].shape
        if decay_u == 1:
            bias = bias + stream.offset
        elif stream.offset.any():
            steady = self.steady(stream.offset.reshape(shape), name)
            stream = replace(stream, terms=(*stream.terms, steady))
        name = self.free_name(name)
        level = float(threshold.flat[0])
        level = level if self.fires_at == ">" else float(np.nextafter(level, 0))
        neuron = Neuron(level, bias.reshape(-1), decay_u=decay_u, decay_v=decay_v)
        self.populations.append(Population(name, shape, neuron))
        for term in stream.terms:
            self._project(term.source, name, term.op if term.op is not None else identity(term.source_shape))
        made = streams.spikes_of(name, shape)
        return made if shape == stream.shape else streams.flatten(made)

    def steady(self, drive: FloatArray, name: str) -> Term:
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
            channel = drive.reshape(len(drive), -1)
            if len(source.shape) != 3 or (channel != channel[:, :1]).any():
                raise LoweringError("a current with memory has a bias that differs within a channel")
            shape = (1, *drive.shape[1:])
            op, silent = Conv2d(channel[:, :1].reshape(-1, 1, 1, 1)), _silent(source.shape, shape)
        made = self.free_name(STEADY + name)
        neuron = Neuron(0.5, np.ones(prod(shape)), decay_u=1.0, decay_v=0.0)
        self.populations.append(Population(made, shape, neuron))
        self._project(source.name, made, silent)
        return Term(made, shape, op)

    def _project(self, source: str, target: str, op: Conv2d | Dense) -> None:
        if source == self.populations[0].name:
            op = replace(op, weight=op.weight * self.input_scale)
        self.projections.append(Projection(source, target, op))


def _silent(source: Shape, target: Shape) -> Conv2d:
    """A convolution of zeros, as small as it can be, from one shape to another of one channel."""
    axes = []
    for n, m in zip(source[1:], target[1:], strict=True):
        stride, padding = (n // m, 0) if m <= n else (1, (m - n + 1) // 2)
        axes.append((n + 2 * padding - (m - 1) * stride, stride, padding))
    kernel, stride_, padding_ = zip(*axes, strict=True)
    return Conv2d(np.zeros((1, source[0], *kernel)), stride_, padding_)
