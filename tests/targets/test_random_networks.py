"""Random networks, residual and leaky ones among them: reference, torch and real Lava agree in every spike and count.

The long suite runs 300: `uv run pytest -m long tests/targets/test_random_networks.py` (about ten minutes).
"""

import numpy as np
import pytest

from kdsnn.evaluate import check_same
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import random_images, random_network
from tests.test_counters import fan_out_by_impulses


def agree(seed: int) -> int:
    """Runs one network on all three, counts its SynOps by brute force, and gives the number of its spikes."""
    network = random_network(seed)
    images = random_images(network, 4, seed)
    wanted = ReferenceTarget().compile(network).run(images, record="all")
    check_same(GpuTarget("cpu").compile(network).run(images, record="all"), wanted)
    check_same(LavaTarget().compile(network).run(images, record="all"), wanted)
    for layer in wanted.counts.layers:
        synops = 0
        for projection in network.incoming(layer.name):
            source = network.population(projection.source)
            if source is network.input and network.input_bits > 1:
                continue  # graded messages make input MACs, not SynOps
            trains = wanted.spikes.get(source.name, np.repeat(images[:, None] >> 7, network.timesteps, axis=1))
            emitted = trains.sum(axis=(0, 1), dtype=np.int64)
            synops += int((emitted * fan_out_by_impulses(projection, source.shape, zero_weights=True)).sum())
        assert layer.synops_dense == synops
    return wanted.counts.total("spikes")


def test_thirty_random_networks() -> None:
    setup_environment()
    spikes = [agree(seed) for seed in range(30)]
    assert sum(s > 0 for s in spikes) >= 25  # most of them are awake


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_three_hundred_random_networks() -> None:
    setup_environment()
    spikes = [agree(seed) for seed in range(1000, 1300)]
    assert sum(s > 0 for s in spikes) >= 250
