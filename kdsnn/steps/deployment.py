"""A network on the chip of an energy model: placed there, with what its cores did on a set of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.energy.deployment import Deployment
from kdsnn.energy.models import Chip
from kdsnn.hardware.limits import load_hardware
from kdsnn.network import Network
from kdsnn.network.counters import Counts, input_messages
from kdsnn.targets.base import Images
from kdsnn.targets.placement.place import place
from kdsnn.targets.placement.traffic import deployment_of

__all__ = ["deployment"]

Array = npt.NDArray[Any]


def deployment(
    network: Network, chip: Chip, images: Images, counts: Counts, spikes: Mapping[str, Array] | None
) -> Deployment:
    """Where a network lies on a chip, and what its cores do there.

    Args:
        network: an integer network.
        chip: of an energy model.
        images: that were shown, uint8.
        counts: of what the network did on them.
        spikes: for each population, each neuron's spikes over all images, `(neurons,)`. None where they were not kept:
            then a layer's spikes are taken to be spread evenly over its neurons.
    """
    emitted: dict[str, Array] = {network.input.name: _messages_of_input(network, images)}
    layers = {layer.name: layer for layer in counts.layers}
    for population in network.spiking:
        if spikes is None:
            mean = layers[population.name].spikes / population.neurons
            emitted[population.name] = np.full(population.shape, mean)
        else:
            emitted[population.name] = spikes[population.name].reshape(population.shape)
    placement = place(network, load_hardware(chip.hardware))
    return deployment_of(network, placement, chip, emitted, counts.samples, even=spikes is None)


def _messages_of_input(network: Network, images: Images) -> Array:
    """How many messages each neuron of the input sent, over all images and steps, in its shape."""
    sent = input_messages(network, images)  # (N, T, *shape): of a static input, T times the same
    if network.static:
        return np.asarray(network.timesteps * (sent[:, 0] > 0).sum(axis=0, dtype=np.int64))
    return np.asarray((sent > 0).sum(axis=(0, 1), dtype=np.int64))
