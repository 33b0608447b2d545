"""nengo-loihi's emulator computes the reference's spikes, potentials and counts."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from kdsnn.evaluation import check_same
from kdsnn.network import Conv2d, Input, Network, Neuron, Population
from kdsnn.network.features import CLIPPING, RECURRENCE
from kdsnn.targets.base import RunResult
from kdsnn.targets.fitting import violations
from kdsnn.targets.nengo_loihi.adapter import NengoLoihiTarget
from kdsnn.targets.reference import ReferenceTarget, simulate
from kdsnn.testing import check_target, example_networks, random_images, random_network, stimuli
from tests import oracles
from tests.nengo_loihi.networks import chain, clipping, large, steady

TARGET = NengoLoihiTarget()


def agree(network: Network, images: np.ndarray, target: NengoLoihiTarget = TARGET) -> RunResult:
    """What the emulator makes of a network, which is the reference's to the last spike and count."""
    result = target.compile(network).run(images, record="all")
    check_same(result, ReferenceTarget().compile(network).run(images, record="all"), target="nengo-loihi")
    return result


def test_conformance() -> None:
    result = check_target(TARGET)
    assert result.refused.keys() == {
        "clipping",
        "clipping-from-above",
        "leaky-subtract",
        "no-reset",
        "recurrent-events",
        "subtract",
        "wide",
    }
    assert list(result.passed) == [n.name for n in example_networks() if n.name not in result.refused]
    assert "could reach 8323072, and wraps at 2097152 on Loihi 1" in result.refused.pop("clipping")
    assert "wraps at 2097152 on Loihi 1" in result.refused.pop("wide")
    assert all("uses 'subtract-reset'" in why for why in result.refused.values())
    assert result.unproven == {CLIPPING}  # a test of its own, below: those of the suite need a wider accumulator
    assert "nengo_loihi" not in sys.modules  # it runs in a process of its own


def drawn(seed: int) -> Network:
    return random_network(
        seed,
        leaky=seed % 3 == 1,
        integrates=seed % 2 == 0,
        in_time=seed % 4 >= 2,
        recurrent=seed % 5 >= 3,
    )


def agree_on(networks: int, first: int) -> list[int]:
    """Runs so many random networks that fit, and gives the spikes of each; those that do not exceed its accumulator."""
    spikes: list[int] = []
    seed = first
    while len(spikes) < networks:
        network = drawn(seed)
        if found := violations(TARGET, network):
            assert all("arrives in a step" in violation.what for violation in found), found
        else:
            spikes.append(agree(network, random_images(network, 5, seed)).counts.total("spikes"))
        seed += 1
    assert seed - first < 1.3 * networks  # few are refused
    return spikes


def test_ten_random_networks() -> None:
    assert sum(spikes > 0 for spikes in agree_on(10, first=0)) >= 8  # most are awake


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_random_networks() -> None:
    assert sum(spikes > 0 for spikes in agree_on(100, first=1000)) >= 80


@pytest.mark.parametrize("seed", [3, 5])
def test_no_image_hears_of_another_whatever_the_lanes(seed: int) -> None:
    """Populations that feed themselves are the hard part: what they send at an image's end must not arrive."""
    network = drawn(seed)
    assert (RECURRENCE in network.features) == (seed == 3)
    images = stimuli(network)[[3, 4, 2, 5, 0]]  # five, so that the last of three rounds has one
    alone, two, all_ = (agree(network, images, NengoLoihiTarget(lanes=lanes)) for lanes in (1, 2, 9))
    assert [result.notes["lanes"] for result in (alone, two, all_)] == [1, 2, 5]
    assert alone.notes["steps"] == 5 * (network.timesteps + network.depths[network.output.name])
    assert alone.counts == two.counts == all_.counts
    assert alone.counts.total("spikes") > 0
    for name, train in alone.spikes.items():
        np.testing.assert_array_equal(train, two.spikes[name])
        np.testing.assert_array_equal(train, all_.spikes[name])


def test_potentials_clip_where_ours_do() -> None:
    network = clipping()
    assert CLIPPING in network.features
    frames = np.zeros((1, 15, 1, 1, 4), dtype=np.uint8)
    frames[0, :9, ..., :2] = 255
    frames[0, 9:, ..., 2:] = 255
    result = agree(network, frames)
    # from 131,072 weight units below zero up by 32,512 a step: above 1,000 in the fifth of them, and then at once
    assert np.flatnonzero(result.spikes["middle"]).tolist() == [13, 14]


@pytest.mark.parametrize(("decay_u", "decay_v"), [(4096, 0), (1, 1), (4095, 4095), (4096, 4096), (2000, 0)])
def test_the_largest_values(decay_u: int, decay_v: int) -> None:
    """Grey levels come with the bias where no current lasts, and else over synapses."""
    network = large(decay_u, decay_v)
    result = agree(network, stimuli(network))
    assert result.potentials is not None
    assert np.abs(result.potentials).max() > 2**17
    assert result.counts.total("spikes") > 0


@pytest.mark.parametrize("bits", [1, 8])
def test_steady_populations(bits: int) -> None:
    network = steady(bits)
    assert network.steady == {"steady"}
    result = agree(network, stimuli(network))
    assert all(layer.spikes > 0 for layer in result.counts.layers)


def test_a_projection_may_reach_nothing() -> None:
    """A kernel of one, two steps apart, that begins on the border: it never lies on the only pixel."""
    neuron = Neuron(1, np.full(4, 2), 6)
    populations = (
        Population("in", (1, 1, 1), Input(1)),
        Population("first", (1, 1, 1), Neuron(0, np.zeros(1, dtype=np.int64))),
        Population("out", (1, 2, 2), neuron),
    )
    one = np.ones((1, 1, 1, 1), dtype=np.int64)
    network = chain(populations, [Conv2d(one), Conv2d(one, (2, 2), (1, 1))], [0, 0], 3)
    result = agree(network, stimuli(network))
    assert [layer.synops_dense > 0 for layer in result.counts.layers] == [True, False]
    assert all(layer.spikes > 0 for layer in result.counts.layers)


def test_its_counts_are_those_of_every_synapse_by_itself() -> None:
    network = example_networks()[3]
    images = stimuli(network)
    result = TARGET.compile(network).run(images)
    trains, _ = simulate(network, images)
    for layer in result.counts.layers:
        (projection,) = network.incoming(layer.name)
        sent = oracles.carried(network, projection, images, trains)
        for zero_weights, counted in ((True, layer.synops_dense), (False, layer.synops_effective)):
            assert counted == (sent * oracles.fan_out(projection.op, sent.shape, zero_weights=zero_weights)).sum()
        assert layer.spikes == trains[layer.name].sum()
    assert result.counts.total("synops_dense") > result.counts.total("synops_effective") > 0


def test_only_the_asked_spikes_come_back() -> None:
    network = example_networks()[1]
    seen: list[int] = []
    result = NengoLoihiTarget(lanes=1).compile(network).run(random_images(network, 40), progress=seen.append)
    assert list(result.spikes) == [network.output.name]
    assert seen
    assert seen == sorted(set(seen))
    assert seen[-1] == 40
    assert result.versions.keys() == {"nengo-loihi", "nengo", "numpy", "python"}
    assert result.versions["nengo-loihi"] == "1.1.0"
