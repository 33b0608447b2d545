"""How images are shared out: ranges for the workers, and rounds of lanes inside each."""

from __future__ import annotations

from itertools import pairwise

from kdsnn.network import Network
from kdsnn.targets.processes.lanes import even_lanes

__all__ = ["lane_count", "shares"]

POPULATION_NEURONS = 2**20  # of the largest population, in all lanes together: beyond, its messages leave the caches
NETWORK_NEURONS = 2**22  # of the network, in all lanes together: some 200 MB of states and messages
MOST_LANES = 16  # then Lava's own cost of a step is small beside the work


def shares(samples: int, workers: int) -> list[slice]:
    """Ranges of images, one for each worker, in order and as equal as can be; no more ranges than images."""
    count = min(workers, samples)
    edges = [samples * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def lane_count(network: Network, samples: int, limit: int = 0) -> int:
    """Images that run side by side: as many as pay, and no more than leave the last round full.

    Args:
        network: what runs.
        samples: number of images.
        limit: at most so many; 0 leaves it to the size of the network.
    """
    sizes = [p.neurons for p in network.populations]
    fitting = min(MOST_LANES, POPULATION_NEURONS // max(sizes), NETWORK_NEURONS // sum(sizes))
    return even_lanes(samples, limit or max(1, fitting))
