"""What each layer of a network needs of the hardware: neurons, synapses, widths, depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from kdsnn.network import Network, Projection, neuron_of
from kdsnn.network.counters import fan_out, kind_of
from kdsnn.network.overflow import overflows

__all__ = ["layer_needs"]


def layer_needs(network: Network) -> list[dict[str, Any]]:
    """A row a layer: what it needs of the hardware."""
    problems = overflows(network)
    rows = []
    for population in network.spiking:
        projections = network.incoming(population.name)
        neuron = neuron_of(population)
        rows.append(
            {
                "name": population.name,
                "kind": kind_of(projections),
                "shape": list(population.shape),
                "neurons": population.neurons,
                "synapses": sum(_synapses(network, p) for p in projections),
                "threshold": int(neuron.threshold) if neuron.fires else None,
                "largest_weight": max(int(np.abs(p.op.weight).max(initial=0)) for p in projections),
                "depth": network.depths[population.name],
                "relay": population.relay,
                "overflow": problems.get(population.name),
            }
        )
    return rows


def _synapses(network: Network, projection: Projection) -> int:
    return int(fan_out(projection, network.population(projection.source).shape).sum())
