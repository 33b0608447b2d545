"""What a population gets and does in the float network on calibration images: what candidates are measured on.

A sample: as many images, steps and places of a feature map as can be multiplied in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from kdsnn.network import (
    DECAY_UNITY,
    HIGHEST,
    LOWEST,
    MEMBRANE_SHIFT,
    Conv2d,
    Network,
    Neuron,
    Population,
    Projection,
    neuron_of,
)
from kdsnn.network.float_simulation import FloatActivity, simulate_float

__all__ = ["Observed", "Observer"]

MOST_SUMS = 2**27  # multiply-accumulates of one candidate
MOST_FLOAT_SUMS = 6e9  # of the float simulation, once a network
MOST_STEPS = 32
FEWEST_IMAGES, FEWEST_PLACES = 8, 4
Images = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Observed:
    """A sample of what enters a population, and of what the float network does there.

    Attributes:
        taps: for each projection what its weights meet, `(groups, N * T * P, taps)`: N images, T steps (one of the
            input, which sends the same at each), P places.
        steps: of each projection's taps: T or 1. A population's own spikes are those of the float network, too.
        wanted: spikes `(N, T, P, C)`, or of an integrator the potentials at the end `(N, P, C)`, in the float network.
        bias: of the integer neurons, at which places: `(P, C)` indices into the flat population.
    """

    taps: tuple[FloatArray, ...]
    steps: tuple[int, ...]
    wanted: npt.NDArray[np.float64] | npt.NDArray[np.uint8]
    index: Int64Array

    def error(self, population: Population, projections: Sequence[Projection], scale: float) -> float:
        """How far an integer population is from the float one: spikes too many, too few or at another step, a spike.

        The spikes that differ, and the differences of each neuron's counts besides, over the neuron-steps. Of an
        integrator the root mean square error of its potential.
        """
        neuron = neuron_of(population)
        spikes, potentials = self._run(neuron, self._drive(projections))
        if not neuron.fires:
            return float(np.sqrt(np.mean((potentials * (scale / 2**MEMBRANE_SHIFT) - self.wanted) ** 2)))
        moved = np.abs(spikes.sum(axis=1, dtype=np.int64) - self.wanted.sum(axis=1, dtype=np.int64)).sum()
        return float((int((spikes != self.wanted).sum()) + int(moved)) / self.wanted.size)

    def _drive(self, projections: Sequence[Projection]) -> Int64Array:
        """What arrives at each step, `(N, T or 1, P, C)`."""
        n, _, places, channels = self._shape
        total = np.zeros((n, 1, places, channels), dtype=np.int64)
        for taps, steps, projection in zip(self.taps, self.steps, projections, strict=True):
            weight = projection.op.weight.astype(np.float32).reshape(len(taps), -1, taps.shape[2])
            sums = taps @ weight.transpose(0, 2, 1)  # exact below 2**24, as with weights of one synapse
            part = sums.transpose(1, 0, 2).reshape(n, steps, places, channels).astype(np.int64)
            total = total + (part << projection.exponent)
        return total

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        places, channels = self.index.shape
        return len(self.wanted), max(1, *self.steps, self.wanted.shape[1]), places, channels

    def _run(self, neuron: Neuron, drive: Int64Array) -> tuple[npt.NDArray[np.uint8], Int64Array]:
        n, _, places, channels = drive.shape
        steps = self.wanted.shape[1] if neuron.fires else max(self.steps)
        u = v = np.zeros((n, places, channels), dtype=np.int64)
        bias = (neuron.bias.astype(np.int64) << neuron.bias_exponent)[self.index]
        spikes = np.zeros((n, steps, places, channels), dtype=np.uint8)
        for t in range(steps):
            u = _left(u, int(neuron.decay_u)) + (drive[:, min(t, drive.shape[1] - 1)] << MEMBRANE_SHIFT)
            v = _left(v, int(neuron.decay_v)) + u + bias
            if neuron.clips:
                v = np.clip(v, LOWEST, HIGHEST)
            if neuron.fires:
                fired = v > int(neuron.threshold) << MEMBRANE_SHIFT
                spikes[:, t] = fired
                v = np.where(fired, 0 if neuron.reset_by is None else v - int(neuron.reset_by), v)
        return spikes, v


class Observer:
    """The float network's activity on calibration images, from which every population's sample is taken.

    Args:
        network: float.
        images: `(N, C, H, W)` uint8, or in time `(N, T, C, H, W)`; the first of them are taken, and their first steps.
    """

    def __init__(self, network: Network, images: Images) -> None:
        steps = min(network.timesteps, MOST_STEPS)
        sums = sum(_synapses(network, p) for p in network.projections) * steps
        self.images = images[: max(FEWEST_IMAGES, int(MOST_FLOAT_SUMS // sums))]
        if not network.static:
            self.images = network.in_time(self.images)[:, :steps]
        self.network = replace(network, timesteps=steps)
        self.activity: FloatActivity = simulate_float(self.network, self.images)

    def of(self, population: Population, input_bits: int) -> Observed:
        """The sample of a population, for input messages of so many bits."""
        network, name = self.network, population.name
        incoming = network.incoming(name)
        channels = population.shape[0]
        area = prod(population.shape[1:])
        a_place = network.timesteps * sum(p.op.weight.size for p in incoming)
        count = min(len(self.images), max(FEWEST_IMAGES, int(MOST_SUMS // (a_place * min(area, FEWEST_PLACES)))))
        places = int(np.clip(MOST_SUMS // (a_place * count), 1, area))
        chosen = np.sort(np.random.default_rng(0).permutation(area)[:places])
        frames = self.images[:count, None] if network.static else self.images[:count]
        messages = {network.input.name: frames >> np.uint8(8 - input_bits)}
        trains: Mapping[str, npt.NDArray[np.uint8]] = {**self.activity.spikes, **messages}
        sent = [_a_step_later(trains[p.source][:count]) if p.recurrent else trains[p.source][:count] for p in incoming]
        shapes = [network.population(p.source).shape for p in incoming]
        taps = tuple(_taps(*of, chosen) for of in zip(incoming, sent, shapes, strict=True))
        index = np.arange(population.neurons).reshape(channels, area).T[chosen]
        wanted: npt.NDArray[np.float64] | npt.NDArray[np.uint8]
        if neuron_of(population).fires:
            wanted = self.activity.spikes[name][:count].reshape(count, network.timesteps, -1)[:, :, index]
        else:
            wanted = self.activity.potentials[:count].reshape(count, -1)[:, index]
        return Observed(taps, tuple(train.shape[1] for train in sent), wanted, index)


def _a_step_later(train: Images) -> Images:
    """Spikes `(N, T, ...)` as the population that sent them gets them."""
    return np.concatenate([np.zeros_like(train[:, :1]), train[:, :-1]], axis=1)


def _taps(projection: Projection, train: Images, shape: tuple[int, ...], places: Int64Array) -> FloatArray:
    """What the weights of a projection meet at some places of its target, `(groups, frames * places, taps)`."""
    op, frames = projection.op, train.reshape(-1, *shape)
    if not isinstance(op, Conv2d):
        return frames.reshape(1, len(frames), -1).astype(np.float32)
    kernel = op.weight.shape[2:]
    rows, columns = np.divmod(places, op.output_shape(shape)[2])
    padded = np.pad(frames, ((0, 0), (0, 0), *((p, p) for p in op.padding)))
    extent = tuple(d * (k - 1) + 1 for d, k in zip(op.dilation, kernel, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    met = windows[:, :, rows * op.stride[0], columns * op.stride[1], :: op.dilation[0], :: op.dilation[1]]
    grouped = met.reshape(len(frames), op.groups, -1, len(places), *kernel).transpose(1, 0, 3, 2, 4, 5)
    return grouped.reshape(op.groups, len(frames) * len(places), -1).astype(np.float32)


def _synapses(network: Network, projection: Projection) -> int:
    op, neurons = projection.op, network.population(projection.target).neurons
    return neurons * prod(op.weight.shape[1:]) if isinstance(op, Conv2d) else int(op.weight.size)


def _left(x: Int64Array, decay: int) -> Int64Array:
    if decay in (0, DECAY_UNITY):
        return x if decay == 0 else np.zeros_like(x)
    left: Int64Array = np.sign(x) * (np.abs(x) * (DECAY_UNITY - decay) >> 12)
    return left
