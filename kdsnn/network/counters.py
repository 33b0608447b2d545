"""Counts of what a network did: spikes, synaptic operations, neuron updates. Exact, in int64.

Definitions (docs/counters.md):

- `synops_dense`: for every spike, the synapses that it reaches: image borders, stride and groups counted as they are.
- `synops_effective`: the same without synapses of weight zero.
- `input_macs`: for every nonzero graded input message, the synapses that it reaches. A static image is sent at every
  step.
- `input_macs_effective`: the same without synapses of weight zero.
- `neuron_updates`: neurons times time steps. `spikes`: spikes emitted.
- `leak_updates`: states that lost a share of themselves: a neuron's potential where it leaks, its current where that
  lasts. It follows from the network and `neuron_updates`.
- `relay_*`: the share of these that relay populations have; it is in the totals too.

What a population sends to itself in an image's last step never arrives, and counts nothing.

A layer is a spiking population together with the synapses into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from kdsnn.network.arrays import read_only
from kdsnn.network.network import Network
from kdsnn.network.operators import Conv2d, Shape
from kdsnn.network.populations import DECAY_UNITY, Neuron, Population, Projection, neuron_of

__all__ = ["FIELDS", "Counts", "LayerCounts", "Tally", "counts_of", "fan_out", "input_messages", "kind_of", "tally"]

Int64Array = npt.NDArray[np.int64]
TALLIED = ("spikes", "synops_dense", "synops_effective", "input_macs", "input_macs_effective", "neuron_updates")
FIELDS = (*TALLIED, "leak_updates")


@dataclass(frozen=True)
class Tally:
    """The counts of one population, summed over all images and time steps. docs/counters.md defines each count."""

    spikes: int = 0
    synops_dense: int = 0
    synops_effective: int = 0
    input_macs: int = 0
    input_macs_effective: int = 0
    neuron_updates: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(**{field: getattr(self, field) + getattr(other, field) for field in TALLIED})


@dataclass(frozen=True)
class LayerCounts:
    """What one population did, summed over all images and time steps."""

    name: str
    kind: str
    neurons: int
    spikes: int
    synops_dense: int
    synops_effective: int
    input_macs: int
    input_macs_effective: int
    neuron_updates: int
    leak_updates: int
    relay: bool = False


@dataclass(frozen=True)
class Counts:
    """The counts of a network, layer by layer, summed over all images and time steps.

    Attributes:
        samples: number of images.
        layers: the counts of each population and the synapses into it, in the order of the network.
    """

    samples: int
    layers: tuple[LayerCounts, ...]

    def total(self, field: str) -> int:
        """Sum of one count over all layers and images, such as `total("spikes")`."""
        return sum(getattr(layer, field) for layer in self.layers)

    def totals(self) -> dict[str, int]:
        """Every count by name, summed over all layers and images; those of relays are included, and also apart."""
        relays = Counts(self.samples, tuple(layer for layer in self.layers if layer.relay))
        return {
            **{field: self.total(field) for field in FIELDS},
            **{f"relay_{field}": relays.total(field) for field in ("neurons", "spikes", "synops_dense")},
        }

    def __add__(self, other: Counts) -> Counts:
        """Counts of both sets of images together."""
        layers = tuple(_add_layers(a, b) for a, b in zip(self.layers, other.layers, strict=True))
        return Counts(self.samples + other.samples, layers)


def _add_layers(a: LayerCounts, b: LayerCounts) -> LayerCounts:
    return replace(a, **{field: getattr(a, field) + getattr(b, field) for field in FIELDS})


def counts_of(network: Network, tallies: Mapping[str, Tally], samples: int) -> Counts:
    """The counts of a run on so many images, from the tally of each population but the input."""
    layers = [
        LayerCounts(
            name=population.name,
            kind=kind_of(network.incoming(population.name)),
            neurons=population.neurons,
            relay=population.relay,
            leak_updates=tallies[population.name].neuron_updates * _decaying(neuron_of(population)),
            **{field: getattr(tallies[population.name], field) for field in TALLIED},
        )
        for population in network.spiking
    ]
    return Counts(samples, tuple(layers))


def tally(
    network: Network, population: Population, spikes: int, carried: Mapping[str, Int64Array], samples: int
) -> Tally:
    """What a population did.

    Args:
        network: an integer network.
        population: not the input.
        spikes: that it emitted, over images and time steps.
        carried: by the name of each projection into it, the number of spikes (for a graded input: of nonzero messages)
            that it carried from each source neuron, over images and time steps.
        samples: number of images.
    """
    reached = Tally(spikes=spikes)
    for projection in network.incoming(population.name):
        source = network.population(projection.source)
        sent = carried[projection.name].reshape(source.shape)
        dense = int((sent * fan_out(projection, source.shape)).sum())
        effective = int((sent * fan_out(projection, source.shape, zero_weights=False)).sum())
        if network.graded(projection):
            reached += Tally(input_macs=dense, input_macs_effective=effective)
        else:
            reached += Tally(synops_dense=dense, synops_effective=effective)
    return reached + Tally(neuron_updates=population.neurons * network.timesteps * samples)


def _decaying(neuron: Neuron) -> int:
    """How many states of a neuron of an integer network are multiplied at each step, since they lose a share."""
    return sum(amount not in (0, DECAY_UNITY) for amount in (neuron.decay_u, neuron.decay_v))


def kind_of(projections: tuple[Projection, ...]) -> str:
    """What a layer is called in tables: the kinds of its synapses, such as `conv2d` or `conv2d+dense`."""
    return "+".join(dict.fromkeys(p.op.kind for p in projections))


def input_messages(
    network: Network, images: npt.NDArray[np.uint8], steps: slice = slice(None)
) -> npt.NDArray[np.uint8]:
    """The messages that the input population sends at some steps of each image, `(N, steps, *shape)`; see `in_time`."""
    shift = np.uint8(8 - network.input_bits)
    if network.static:
        return network.in_time(images >> shift)[:, steps]
    messages: npt.NDArray[np.uint8] = network.in_time(images)[:, steps] >> shift
    return messages


@lru_cache(maxsize=256)
def fan_out(projection: Projection, source: Shape, *, zero_weights: bool = True) -> Int64Array:
    """Number of synapses that a message of each source neuron reaches, in the source's shape.

    Args:
        projection: the synapses.
        source: shape of the source population.
        zero_weights: whether synapses of weight zero count.

    Returns:
        Read-only: whoever asks again is given the same.
    """
    op = projection.op
    present = np.ones_like(op.weight, dtype=np.int64) if zero_weights else (op.weight != 0).astype(np.int64)
    if isinstance(op, Conv2d):
        return read_only(_conv_fan_out(op, present, source))
    return read_only(present.sum(axis=0).reshape(source))


def _conv_fan_out(op: Conv2d, present: Int64Array, source: Shape) -> Int64Array:
    c_out, c_in, kernel_h, kernel_w = present.shape
    grouped = present.reshape(op.groups, c_out // op.groups, c_in, kernel_h, kernel_w)
    per_tap = grouped.sum(axis=1).reshape(op.groups * c_in, kernel_h, kernel_w)
    out = op.output_shape(source)
    result = np.zeros(source, dtype=np.int64)
    for y, x in product(range(kernel_h), range(kernel_w)):
        rows = _reached(op, 0, y, source[1], out[1])
        columns = _reached(op, 1, x, source[2], out[2])
        result += per_tap[:, y, x][:, None, None] * (rows[:, None] & columns[None, :])
    return result


def _reached(op: Conv2d, axis: int, tap: int, size: int, out: int) -> npt.NDArray[np.bool_]:
    """Which source positions along an axis reach some output position through this kernel tap."""
    offset = np.arange(size) + op.padding[axis] - tap * op.dilation[axis]
    reached: npt.NDArray[np.bool_] = (offset % op.stride[axis] == 0) & (offset >= 0) & (offset // op.stride[axis] < out)
    return reached
