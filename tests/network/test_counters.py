"""Counts are exact: fan-out by formula equals fan-out by enumerating every synapse."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.counters import Tally, counts_of, fan_out, tally
from kdsnn.network.features import CURRENT, GRADED_INPUT, LEAK, features_of
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
        dense = effective = macs = macs_effective = 0
        for projection in network.incoming(layer.name):
            source = network.population(projection.source)
            events = oracles.carried(network, projection, images, result.spikes)
            reached = (events * oracles.fan_out(projection.op, source.shape, zero_weights=True)).sum()
            nonzero = (events * oracles.fan_out(projection.op, source.shape, zero_weights=False)).sum()
            graded = source is network.input and network.input_bits > 1
            macs += reached if graded else 0
            macs_effective += nonzero if graded else 0
            dense += 0 if graded else reached
            effective += 0 if graded else nonzero
        assert (layer.synops_dense, layer.synops_effective) == (dense, effective)
        assert (layer.input_macs, layer.input_macs_effective) == (macs, macs_effective)
        assert layer.neuron_updates == layer.neurons * network.timesteps * 3


def test_counts_beyond_32_bits() -> None:
    network = example_networks()[0]
    carried = {p.name: np.full(network.population(p.source).shape, 2**40) for p in network.projections}
    tallies = {p.name: tally(network, p, p.neurons * 2**40, carried, 2**40) for p in network.spiking}
    counts = counts_of(network, tallies, 2**40)
    assert counts.layers[0].spikes == network.spiking[0].neurons * 2**40
    assert counts.total("neuron_updates") > 2**40


def test_counts_add_up() -> None:
    network = example_networks()[0]
    images = random_images(network, 6)
    program = ReferenceTarget().compile(network)
    halves = program.run(images[:2]).counts + program.run(images[2:]).counts
    assert halves == program.run(images).counts


def test_a_layer_is_named_by_its_synapses_and_relays_are_told_apart() -> None:
    spike = Neuron(1, np.zeros(4, dtype=np.int64))
    network = Network(
        name="two ways",
        populations=(
            Population("input", (1, 2, 2), Input()),
            Population("relay", (4,), spike, relay=True),
            Population("out", (4,), spike),
        ),
        projections=(
            Projection("input", "relay", Dense(np.ones((4, 4), dtype=np.int64))),
            Projection("relay", "out", Dense(np.ones((4, 4), dtype=np.int64))),
            Projection("input", "out", Dense(np.ones((4, 4), dtype=np.int64))),
        ),
        timesteps=1,
        labels=("0", "1", "2", "3"),
        integer=True,
    )
    relay, out = counts_of(network, dict.fromkeys(("relay", "out"), Tally(spikes=1)), 1).layers
    assert (relay.kind, relay.relay, relay.neurons) == ("dense", True, 4)
    assert (out.kind, out.relay) == ("dense", False)


@pytest.mark.parametrize(("bits", "macs"), [(1, False), (2, True), (8, True)])
def test_messages_of_two_bits_are_graded_and_of_one_bit_are_spikes(bits: int, macs: bool) -> None:
    network = example_networks()[0]
    seen = replace(network.input, model=Input(bits=bits))
    network = replace(network, populations=(seen, *network.spiking))
    first = network.incoming(network.spiking[0].name)[0]
    carried = {first.name: np.zeros(network.input.shape, dtype=np.int64)}
    reaching = np.argmax(oracles.fan_out(first.op, network.input.shape).ravel())
    carried[first.name].flat[reaching] = 1
    reached = oracles.fan_out(first.op, network.input.shape).ravel()[reaching]
    found = tally(network, network.spiking[0], 0, carried, 1)
    assert (found.input_macs, found.synops_dense) == ((reached, 0) if macs else (0, reached))
    assert (GRADED_INPUT in features_of(network)) is macs


@pytest.mark.parametrize(
    ("decay_u", "decay_v", "states"),
    [(4096, 0, 0), (4096, 1, 1), (4096, 4096, 0), (2048, 0, 1), (1, 4095, 2)],
)
def test_a_state_that_keeps_a_share_of_itself_is_a_leak_update(decay_u: int, decay_v: int, states: int) -> None:
    network = example_networks()[0]
    spiking = (replace(p, model=replace(p.model, decay_u=decay_u, decay_v=decay_v)) for p in network.spiking)
    network = replace(network, populations=(network.input, *spiking))
    counts = counts_of(network, {p.name: Tally(neuron_updates=10) for p in network.spiking}, 1)
    assert [layer.leak_updates for layer in counts.layers] == [10 * states] * len(network.spiking)
    assert (counts + counts).total("leak_updates") == 2 * counts.total("leak_updates")


@pytest.mark.parametrize("integer", [True, False])
def test_a_leak_and_a_current_are_features_whatever_the_unit_of_their_shares(integer: bool) -> None:
    whole = 4096 if integer else 1.0  # the share that is the whole: nothing is kept

    def features(**changes: float) -> frozenset[str]:
        network = example_networks()[0]
        model = {"decay_u": whole, "decay_v": 0, "bias_exponent": 0, **changes}
        plain = (replace(p, model=replace(p.model, **model)) for p in network.spiking)
        network = replace(network, integer=integer, populations=(network.input, *plain))
        return features_of(network) & {LEAK, CURRENT}

    assert features() == frozenset()
    assert features(decay_v=whole / 4) == {LEAK}
    assert features(decay_u=whole / 2) == {CURRENT}
