"""What a float network does on images: its equations step by step in float64, as `kdsnn.network.network` has them.

    u = (1 - decay_u) u + sum of weight * message
    v = (1 - decay_v) v + u + bias
    spike = v > threshold;  v = 0 where it spiked

Whoever computes the same in float32 rounds otherwise. A potential that sits on its threshold within that rounding may
then fire there and not here: such neuron-steps are counted apart, as `near_threshold`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.network.linear_maps import apply
from kdsnn.network.network import Network
from kdsnn.network.populations import neuron_of

__all__ = ["FloatActivity", "on_threshold", "simulate_float"]

FLOAT32_ROUNDING = 1e-5  # of the larger of threshold and potential: sums of thousands of float32 terms, 6e-8 each
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Decide = Callable[[str, int, FloatArray, BoolArray], BoolArray]


@dataclass(frozen=True)
class FloatActivity:
    """What a float network did.

    Attributes:
        spikes: of every population but the input, `(N, T, *shape)` uint8.
        potentials: of the output after the last step, `(N, *shape)`.
        near_threshold: of each population, neuron-steps whose potential lay within float32's rounding of the threshold.
    """

    spikes: Mapping[str, npt.NDArray[np.uint8]]
    potentials: FloatArray
    near_threshold: Mapping[str, int]


def on_threshold(potentials: FloatArray, threshold: float) -> BoolArray:
    """Where a potential lies within float32's rounding of the threshold: who computes in it may decide otherwise."""
    room = FLOAT32_ROUNDING * np.maximum(threshold, np.abs(potentials))
    near: BoolArray = np.abs(potentials - threshold) <= room
    return near


def simulate_float(network: Network, images: npt.NDArray[np.uint8], *, decide: Decide | None = None) -> FloatActivity:
    """The spikes of a float network on images `(N, C, H, W)` or `(N, F)` uint8; all images are held at once.

    Args:
        network: the network.
        images: what it sees at every step.
        decide: asked at every step, of each population, which neurons fire, with its name, the step, its potentials
            `(N, *shape)` and where they are above the threshold; None takes those.
    """
    n, steps = len(images), network.timesteps
    u = {p.name: np.zeros((n, *p.shape)) for p in network.spiking}
    v = {p.name: np.zeros((n, *p.shape)) for p in network.spiking}
    spikes = {p.name: np.zeros((n, steps, *p.shape), dtype=np.uint8) for p in network.spiking}
    near = {p.name: 0 for p in network.spiking}
    pixels = images.reshape(n, *network.input.shape).astype(np.float64)
    for t in range(steps):
        sent: dict[str, FloatArray] = {network.input.name: pixels}
        for population in network.spiking:
            name, neuron = population.name, neuron_of(population)
            drive = sum(apply(p.op, sent[p.source]) for p in network.incoming(name))
            u[name] = (1 - neuron.decay_u) * u[name] + drive
            v[name] = (1 - neuron.decay_v) * v[name] + u[name] + neuron.bias.reshape(population.shape)
            fired = v[name] > neuron.threshold
            if neuron.fires:
                near[name] += int(on_threshold(v[name], neuron.threshold).sum())
                fired = fired if decide is None else decide(name, t, v[name], fired)
            v[name][fired] = 0
            spikes[name][:, t] = fired
            sent[name] = fired.astype(np.float64)
    return FloatActivity(spikes, v[network.output.name], near)
