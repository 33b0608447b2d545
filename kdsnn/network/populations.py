"""What a network is made of: populations of neurons, and projections between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy.typing as npt

from kdsnn.network.arrays import read_only
from kdsnn.network.operators import Conv2d, Dense, Shape

__all__ = [
    "BIAS_BITS",
    "DECAY_UNITY",
    "HIGHEST",
    "LOWEST",
    "MAX_BIAS_EXPONENT",
    "MAX_EXPONENT",
    "MEMBRANE_SHIFT",
    "NEVER",
    "STATE_LIMIT",
    "THRESHOLD_BITS",
    "WEIGHT_BITS",
    "Input",
    "Neuron",
    "Population",
    "Projection",
    "neuron_of",
]

MEMBRANE_SHIFT = 6  # u, v and bias carry 6 bits below one weight unit
DECAY_UNITY = 4096  # decays have 12 bits
WEIGHT_BITS = 8  # signed
THRESHOLD_BITS = 17  # unsigned, in weight units
NEVER = 2**THRESHOLD_BITS - 1  # threshold of an integrator
STATE_LIMIT = 2**23  # |u| and |v| stay below
LOWEST, HIGHEST = 1 - STATE_LIMIT, STATE_LIMIT - 1  # potential of a neuron that clips
BIAS_BITS = 13  # signed mantissa; the exponent has 3 bits
MAX_BIAS_EXPONENT = 7
MAX_EXPONENT = 7  # of a projection


@dataclass(frozen=True, eq=False)
class Input:
    """A population that emits the image at every time step, as graded messages or as spikes.

    Attributes:
        bits: width of a message. An 8-bit pixel `p` is sent as `p >> (8 - bits)`; with one bit, as a spike.
        static: whether every time step sends the same image; else each sends a frame of its own.
    """

    bits: int = 8
    static: bool = True


@dataclass(frozen=True, eq=False)
class Neuron:
    """An integrate-and-fire neuron: leaky or not, with or without a current of its own.

    Attributes:
        threshold: the neuron fires when its potential is strictly above it. In weight units in an integer network.
        bias: drive added at every step, `(neurons,)` in row-major order. In an integer network the mantissa, which
            enters the potential as `bias << bias_exponent` (64 to a weight unit).
        bias_exponent: 0..7; zero in a float network.
        decay_u: share of the synaptic current lost in a step. 4096 (float: 1.0) means no current memory.
        decay_v: share of the potential lost in a step. 0 means no leak: the IF neuron.
        fires: False for an integrator, whose potential is read instead of spikes. Its threshold is `NEVER` in an
            integer network, where no potential may come, and infinite in a float one.
        clips: whether a potential that would leave `LOWEST` to `HIGHEST` stays at the end that it reached. Integer
            networks only; in one that does not clip no potential can come so far.
        reset_by: what a spike takes from the potential (reset by subtraction; 0 is no reset); 64 to a weight unit in an
            integer network. None resets it to zero.
    """

    threshold: float
    bias: npt.NDArray[Any]
    bias_exponent: int = 0
    decay_u: float = DECAY_UNITY
    decay_v: float = 0
    fires: bool = True
    clips: bool = False
    reset_by: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", read_only(self.bias))


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one shape, `(C, H, W)` or `(N,)`, with one neuron model.

    Attributes:
        name: unique in its network.
        shape: `(C, H, W)` or `(N,)`.
        model: what its neurons do.
        relay: whether it only repeats another population's spikes, to make paths equally long; counted apart.
    """

    name: str
    shape: Shape
    model: Input | Neuron
    relay: bool = False

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return prod(self.shape)


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map from one population to another, scaled by `2**exponent`; several into one population add up.

    One from a population to itself is recurrent: its spikes arrive one time step later, and those of an image's last
    step never.

    Attributes:
        part: number among those between the same two populations, from 0: weights that are wider than a synapse lie in
            two of them.
    """

    source: str
    target: str
    op: Conv2d | Dense
    exponent: int = 0
    part: int = 0

    @property
    def name(self) -> str:
        """`source->target`; of a further part `source->target#1`."""
        return f"{self.source}->{self.target}" + (f"#{self.part}" if self.part else "")

    @property
    def recurrent(self) -> bool:
        """Whether a population feeds itself by it."""
        return self.source == self.target

    @cached_property
    def silent(self) -> bool:
        """Whether it carries nothing: all its weights are zero."""
        return not self.op.weight.any()


def neuron_of(population: Population) -> Neuron:
    """The neuron model of a population that is not the input."""
    assert isinstance(population.model, Neuron)  # noqa: S101  callers pass spiking populations
    return population.model
