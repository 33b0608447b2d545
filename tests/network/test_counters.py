"""Counts are exact: fan-out by formula equals fan-out by enumerating every synapse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.network import Conv2d, Dense, Network, Projection
from kdsnn.network.counters import counts_of, fan_out, tally
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import example_networks, random_images, random_network
from tests import oracles


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_fan_out_equals_enumeration(seed: int, zero_weights: bool) -> None:
    network = random_network(seed)
    for projection in network.projections:
        source = network.population(projection.source).shape
        expected = oracles.fan_out(projection.op, source, zero_weights=zero_weights)
        assert np.array_equal(fan_out(projection, source, zero_weights=zero_weights), expected)


def test_fan_out_by_hand() -> None:
    corner_and_middle = fan_out(Projection("a", "b", Conv2d(np.ones((5, 1, 3, 3)), padding=(1, 1))), (1, 4, 4))
    assert corner_and_middle[0, 0, 0] == 5 * 4
    assert corner_and_middle[0, 1, 1] == 5 * 9
    strided = fan_out(Projection("a", "b", Conv2d(np.ones((2, 1, 2, 2)), stride=(2, 2))), (1, 5, 4))
    assert strided[0].tolist() == [[2] * 4] * 4 + [[0] * 4]  # the last row reaches nothing
    sparse = np.array([[1, 0], [0, 0], [3, 4]])
    assert fan_out(Projection("a", "b", Dense(sparse)), (2,), zero_weights=False).tolist() == [2, 1]
    assert fan_out(Projection("a", "b", Dense(sparse)), (2,)).tolist() == [3, 3]


@pytest.mark.parametrize("network", example_networks(), ids=lambda n: n.name)
def test_counts_equal_a_count_of_every_event(network: Network) -> None:
    images = random_images(network, 3)
    result = ReferenceTarget().compile(network).run(images, record="all")
    for layer in result.counts.layers:
        assert layer.spikes == result.spikes[layer.name].sum()
        dense = effective = macs = 0
        for projection in network.incoming(layer.name):
            source = network.population(projection.source)
            if source is network.input:
                events = np.repeat((images >> (8 - network.input_bits) > 0)[:, None], network.timesteps, axis=1)
            else:
                events = result.spikes[source.name]
            events = events.reshape(-1, source.neurons).astype(np.int64).sum(axis=0).reshape(source.shape)
            reached = (events * oracles.fan_out(projection.op, source.shape, zero_weights=True)).sum()
            nonzero = (events * oracles.fan_out(projection.op, source.shape, zero_weights=False)).sum()
            graded = source is network.input and network.input_bits > 1
            macs += reached if graded else 0
            dense += 0 if graded else reached
            effective += 0 if graded else nonzero
        assert (layer.synops_dense, layer.synops_effective, layer.input_macs) == (dense, effective, macs)
        assert layer.neuron_updates == layer.neurons * network.timesteps * 3


def test_counts_beyond_32_bits() -> None:
    network = example_networks()[0]
    emitted = {p.name: np.full(p.shape, 2**40, dtype=np.int64) for p in network.populations}
    tallies = {p.name: tally(network, p, emitted, 2**40) for p in network.spiking}
    counts = counts_of(network, tallies, 2**40)
    assert counts.layers[0].spikes == network.spiking[0].neurons * 2**40
    assert counts.total("neuron_updates") > 2**40


def test_counts_add_up() -> None:
    network = example_networks()[0]
    images = random_images(network, 6)
    program = ReferenceTarget().compile(network)
    halves = program.run(images[:2]).counts + program.run(images[2:]).counts
    assert halves == program.run(images).counts
