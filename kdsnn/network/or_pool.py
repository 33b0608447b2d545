"""Populations that fire where any of their inputs does: of them a target may take the maximum in place of a sum."""

from __future__ import annotations

from kdsnn.network.network import Network
from kdsnn.network.operators import Conv2d
from kdsnn.network.populations import DECAY_UNITY, Population, neuron_of

__all__ = ["max_pool"]


def max_pool(network: Network, population: Population) -> Conv2d | None:
    """The windows of a population that fires where any spike enters, and remembers nothing; None of all others.

    Max pools of spikes and relays are such populations. Each channel stands alone, spikes are all that comes in, no
    bias enters, and the lightest synapse lifts the potential over a threshold that is not negative.
    """
    neuron, projections = neuron_of(population), network.incoming(population.name)
    op, source = projections[0].op, network.population(projections[0].source)
    if len(projections) > 1 or source is network.input or not isinstance(op, Conv2d) or op.weight.shape[1] > 1:
        return None
    if op.groups != len(op.weight) or neuron.decay_u != DECAY_UNITY or neuron.bias.any() or not neuron.fires:
        return None
    if neuron.reset_by is not None:
        return None
    lightest = int(op.weight.min()) << projections[0].exponent
    return op if lightest > neuron.threshold >= 0 else None
