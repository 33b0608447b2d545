"""The one shared vocabulary: populations of neurons, projections between them, and the network they make.

A `Network` is either *float* (what lowering makes of a trained student) or *integer* (what quantization makes of a
float network, and what every target runs). Both have the same shape; `Network.integer` tells them apart.

Integer semantics, one time step of one population (Lava's fixed-point LIF, which all targets reproduce):

    a = sum over projections of (sum of weight * message) << exponent          weight units, |a| < 2**17
    u = decay(u, decay_u) + (a << 6)                                           64 to a weight unit, |u| < 2**23
    v = decay(v, decay_v) + u + bias                                           same units, |v| < 2**23
    (a population that clips keeps it from 1 - 2**23 to 2**23 - 1: `Neuron.clips`)
    spike = v > threshold << 6;  where it spiked, v = 0, or v - reset_by where a spike takes a fixed amount
    (an integrator at the output never spikes: its threshold is the highest, and `overflow.py` keeps v below it)
    decay(x, d) = sign(x) * (|x| * (4096 - d) >> 12)

u and v start every image at zero. A message is one of the same time step; only the spikes by which a population feeds
itself are those of the step before. `kdsnn.network.overflow` proves for a given network that neither u nor v can leave
its range. Float semantics are the same without shifts, with decays as fractions of one instead of 1/4096.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdsnn.errors import NetworkError
from kdsnn.network.features import features_of
from kdsnn.network.fingerprint import fingerprint_of
from kdsnn.network.operators import Shape
from kdsnn.network.populations import Input, Population, Projection, neuron_of
from kdsnn.network.validation import problems_of

__all__ = ["Network"]


@dataclass(frozen=True, eq=False)
class Network:
    """A spiking network: populations of neurons, and the projections between them.

    Populations stand in an order in which no projection runs backwards; the first is the input, the last the output.
    The score of each class (`labels`) is the number of its spikes over `timesteps`, or, where the output is an
    integrator, its potential after the last of them.

    Raises:
        NetworkError: with all problems at once.
    """

    name: str
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    timesteps: int
    labels: tuple[str, ...]
    integer: bool
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = problems_of(self)
        if problems:
            raise NetworkError(f"network {self.name[:100]!r} is not valid", problems=problems)

    @property
    def input(self) -> Population:
        """The population that emits the images."""
        return self.populations[0]

    @property
    def input_bits(self) -> int:
        """Width of an input message."""
        model = self.input.model
        assert isinstance(model, Input)  # noqa: S101  validated above
        return model.bits

    def graded(self, projection: Projection) -> bool:
        """Whether a projection carries grey levels, which are no spikes: the image's, with more than one bit."""
        return projection.source == self.input.name and self.input_bits > 1

    @property
    def static(self) -> bool:
        """Whether every time step of an image sends the same."""
        model = self.input.model
        assert isinstance(model, Input)  # noqa: S101  validated above
        return model.static

    @property
    def image_shape(self) -> Shape:
        """Of what is shown: that of the input, with the time steps before it where each has a frame of its own."""
        return self.input.shape if self.static else (self.timesteps, *self.input.shape)

    def in_time(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Images `(N, *image_shape)` as each time step sends them, `(N, T, *input shape)`: where static, a view."""
        if not self.static:
            return images.reshape(len(images), self.timesteps, *self.input.shape)
        still = images.reshape(len(images), 1, *self.input.shape)
        return np.broadcast_to(still, (len(images), self.timesteps, *self.input.shape))

    @property
    def output(self) -> Population:
        """The population whose spikes are counted, or whose potential is read."""
        return self.populations[-1]

    @property
    def readout(self) -> Literal["rate", "membrane"]:
        """What the score of a class is: spikes of the output over T, or its potential after T steps."""
        return "rate" if neuron_of(self.output).fires else "membrane"

    @cached_property
    def features(self) -> frozenset[str]:
        """What it uses beyond plain integrate-and-fire neurons; see `kdsnn.network.features`."""
        return features_of(self)

    @property
    def spiking(self) -> tuple[Population, ...]:
        """All populations but the input."""
        return self.populations[1:]

    @cached_property
    def _by_name(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    @cached_property
    def _into(self) -> dict[str, tuple[Projection, ...]]:
        into: dict[str, list[Projection]] = {}
        for projection in self.projections:
            into.setdefault(projection.target, []).append(projection)
        return {name: tuple(projections) for name, projections in into.items()}

    def population(self, name: str) -> Population:
        """The population of that name."""
        return self._by_name[name]

    def incoming(self, name: str) -> tuple[Projection, ...]:
        """The projections into a population."""
        return self._into.get(name, ())

    @cached_property
    def steady(self) -> frozenset[str]:
        """Populations that the image enters by weights of zero only: they do the same at every step, whatever it is."""
        entered = {p.name: self.incoming(p.name) for p in self.spiking}
        return frozenset(
            name for name, all_ in entered.items() if all(p.source == self.input.name and p.silent for p in all_)
        )

    @cached_property
    def depths(self) -> dict[str, int]:
        """Length of the longest path from the input to each population: 0 for the input.

        A steady population, whose input does not matter, stands right before the first that it feeds.
        """
        depth: dict[str, int] = {self.input.name: 0}
        for population in self.spiking:
            sources = {p.source for p in self.incoming(population.name) if not p.recurrent}
            if population.name not in self.steady:
                depth[population.name] = 1 + max((depth[s] for s in sources - self.steady), default=1)
        for name in self.steady:
            fed = [depth[p.target] - 1 for p in self.projections if p.source == name]
            depth[name] = min(fed, default=1)
        return depth

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of(self)

    def fingerprint(self) -> str:
        """sha256 of everything that decides a spike; name and provenance do not."""
        return self._fingerprint
