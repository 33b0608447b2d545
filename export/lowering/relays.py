"""Path balancing: relay populations that make all paths into a population equally long.

On pipelined hardware every projection takes one time step, so what two paths bring to a population is of the same step
only where they are equally long. A relay repeats the spikes of its source one projection later: one neuron for each of
the source's, weight one, threshold below one. Relays belong to the network, so they fire on every machine; they are
counted, and counted apart. What a population sends to itself takes one step on every machine, and needs none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.linear_stream import identity
from kdsnn.network import Network, Neuron, Population, Projection

__all__ = ["balance"]

RELAY_THRESHOLD = 0.5  # with a weight of one: fires when its source did


def balance(network: Network) -> Network:
    """The float network with relays where they are needed; itself where they are not.

    Raises:
        LoweringError: the image itself would have to be relayed, and a relay passes spikes only.
    """
    depths = network.depths
    relays: dict[tuple[str, int], tuple[Population, Projection]] = {}

    def relayed(source: str, delay: int) -> str:
        """The name of the population that repeats the source's spikes so many projections later."""
        if delay == 0:
            return source
        if source == network.input.name:
            raise LoweringError(
                f"population {source!r} feeds populations at different depths, and images cannot be relayed",
                hint="let the image enter the network in one place",
            )
        name = f"{source}_relay{delay}"
        if (source, delay) not in relays:
            before, shape = relayed(source, delay - 1), network.population(source).shape
            neuron = Neuron(RELAY_THRESHOLD, np.zeros(network.population(source).neurons), decay_u=1.0)
            population = Population(name, shape, neuron, relay=True)
            try:
                relays[source, delay] = population, Projection(before, name, identity(shape))
            except LoweringError as error:
                raise LoweringError(f"population {source!r} needs relays: {error.message}", hint=error.hint) from error
        return name

    projections = []
    for projection in network.projections:
        aside = projection.recurrent or projection.target in network.steady
        delay = 0 if aside else depths[projection.target] - depths[projection.source] - 1
        projections.append(replace(projection, source=relayed(projection.source, delay)))
    if not relays:
        return network
    depth = {**depths, **{p.name: depths[source] + delay for (source, delay), (p, _) in relays.items()}}
    populations = sorted([*network.populations[:-1], *(p for p, _ in relays.values())], key=lambda p: depth[p.name])
    return replace(
        network,
        populations=(*populations, network.output),
        projections=(*projections, *(p for _, p in relays.values())),
    )
