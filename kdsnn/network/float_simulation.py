"""What a float network does on images: its equations step by step in float64, as `kdsnn.network.network` has them.

    u = (1 - decay_u) u + sum of weight * message
    v = (1 - decay_v) v + u + bias
    spike = v > threshold;  where it spiked, v = 0, or v - reset_by where a spike takes a fixed amount

Whoever computes the same in float32 rounds otherwise. A potential that sits on its threshold within that rounding may
then fire there and not here: such neuron-steps are counted apart, as `near_threshold`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kdsnn.network.linear_maps import apply
from kdsnn.network.network import Network
from kdsnn.network.populations import neuron_of

__all__ = ["FloatActivity", "simulate_float"]

FLOAT32_ROUNDING = 1e-5  # of the larger of threshold and potential: sums of thousands of float32 terms, 6e-8 each
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Decide = Callable[[str, int, BoolArray], BoolArray]


@dataclass(frozen=True)
class FloatActivity:
    """What a float network did.

    Attributes:
        spikes: of every population but the input, `(N, T, *shape)` uint8.
        potentials: of the output after the last step, `(N, *shape)`.
        near: where a potential lay within rounding of the threshold, of every population, `(N, T, *shape)` bool.
    """

    spikes: Mapping[str, npt.NDArray[np.uint8]]
    potentials: FloatArray
    near: Mapping[str, npt.NDArray[np.bool_]]

    @cached_property
    def near_threshold(self) -> dict[str, int]:
        """Of each population, neuron-steps whose potential lay within rounding of the threshold."""
        return {name: int(near.sum()) for name, near in self.near.items()}


def simulate_float(
    network: Network,
    images: npt.NDArray[np.uint8],
    *,
    rounding: float = FLOAT32_ROUNDING,
    decide: Decide | None = None,
) -> FloatActivity:
    """The spikes of a float network; all images are held at once.

    Args:
        network: that runs.
        images: `(N, *image_shape)` uint8.
        rounding: of whoever computes the same, as a share of the larger of threshold and potential.
        decide: asked at every step which neurons of a population fire, with its name, the step and those above the
            threshold, `(N, *shape)`; None takes these.
    """
    n, steps = len(images), network.timesteps
    u = {p.name: np.zeros((n, *p.shape)) for p in network.spiking}
    v = {p.name: np.zeros((n, *p.shape)) for p in network.spiking}
    spikes = {p.name: np.zeros((n, steps, *p.shape), dtype=np.uint8) for p in network.spiking}
    near = {name: np.zeros(trains.shape, dtype=np.bool_) for name, trains in spikes.items()}
    shown, entry = network.in_time(images), network.input.name
    of_image: dict[str, FloatArray] = {}
    for t in range(steps):
        if t == 0 or not network.static:
            pixels = shown[:, t].astype(np.float64)
            of_image = {p.name: apply(p.op, pixels) for p in network.projections if p.source == entry}
        sent = {
            p.source: spikes[p.source][:, t - 1].astype(np.float64) for p in network.projections if p.recurrent and t
        }
        for population in network.spiking:
            name, neuron = population.name, neuron_of(population)
            incoming = [p for p in network.incoming(name) if t or not p.recurrent]
            drive = sum(of_image[p.name] if p.source == entry else apply(p.op, sent[p.source]) for p in incoming)
            u[name] = (1 - neuron.decay_u) * u[name] + drive
            v[name] = (1 - neuron.decay_v) * v[name] + u[name] + neuron.bias.reshape(population.shape)
            fired = v[name] > neuron.threshold
            if neuron.fires:
                room = rounding * np.maximum(neuron.threshold, np.abs(v[name]))
                near[name][:, t] = np.abs(v[name] - neuron.threshold) <= room
                fired = fired if decide is None else decide(name, t, fired)
            v[name][fired] = 0 if neuron.reset_by is None else v[name][fired] - neuron.reset_by
            spikes[name][:, t] = fired
            sent[name] = fired.astype(np.float64)
    return FloatActivity(spikes, v[network.output.name], near)
