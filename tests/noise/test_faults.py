"""Faults of the machine: the share of bits that flip, the share of spikes that are lost, and nothing at all at 0."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import InputError
from kdsnn.network import Dense, Network, Projection
from kdsnn.noise.faults import flip_bits, lose_spikes
from kdsnn.targets.fitting import violations
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceProgram, simulate
from kdsnn.testing import example_networks


@pytest.fixture(params=example_networks(), ids=lambda n: n.name)
def network(request: pytest.FixtureRequest) -> Network:
    return request.param


def images(network: Network, count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *network.image_shape), dtype=np.uint8)


def wide(weight: np.ndarray) -> Network:
    """An example network whose last projection has these weights instead."""
    network = example_networks()[0]
    last = network.projections[-1]
    source, out = network.population(last.source), network.output
    tiled = np.resize(weight, (out.neurons, source.neurons))
    return replace(network, projections=(*network.projections[:-1], replace(last, op=Dense(tiled))))


def bits_of(projection: Projection, weight_bits: int) -> np.ndarray:
    stored = projection.op.weight.astype(np.int64) & ((1 << weight_bits) - 1)
    return (stored[..., None] >> np.arange(weight_bits)) & 1


def test_no_flips_and_no_losses_at_0(network: Network) -> None:
    assert flip_bits(network, 0.0, seed=1).fingerprint() == network.fingerprint()
    (wanted, _), (got, _) = (simulate(network, images(network), lost) for lost in (None, lose_spikes(0.0, seed=1)))
    for name, train in wanted.items():
        assert np.array_equal(got[name], train)


def test_every_bit_flips_at_1(network: Network) -> None:
    for before, after in zip(network.projections, flip_bits(network, 1.0, seed=1).projections, strict=True):
        assert np.array_equal(after.op.weight, ~before.op.weight)  # two's complement: -1 - w
        assert after.op.weight.dtype == before.op.weight.dtype


@pytest.mark.parametrize("weight_bits", [2, 4, 8])
def test_the_expected_share_of_bits_flips_in_every_place(weight_bits: int) -> None:
    limit, probability = 1 << (weight_bits - 1), 0.1
    network = wide(np.arange(-limit, limit))
    narrow = [replace(p, op=replace(p.op, weight=p.op.weight >> 6)) for p in network.projections[:-1]]
    network = replace(network, projections=(*narrow, network.projections[-1]))
    flips, total = np.zeros(weight_bits), 0
    for seed in range(200):
        flipped = flip_bits(network, probability, seed, weight_bits)
        for before, after in zip(network.projections, flipped.projections, strict=True):
            if before.silent:
                continue
            assert after.op.weight.min() >= -limit
            assert after.op.weight.max() < limit
            changed = bits_of(before, weight_bits) != bits_of(after, weight_bits)
            flips += changed.reshape(-1, weight_bits).sum(axis=0)
            total += before.op.weight.size
    deviation = np.sqrt(probability * (1 - probability) / total)
    assert np.abs(flips / total - probability).max() < 5 * deviation  # five standard errors


def test_flips_are_seeded_and_only_add_with_probability(network: Network) -> None:
    one, again, other = (flip_bits(network, 0.05, seed) for seed in (1, 1, 2))
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    more = flip_bits(network, 0.2, seed=1)
    for before, few, many in zip(network.projections, one.projections, more.projections, strict=True):
        flipped = bits_of(before, 8) != bits_of(few, 8)
        assert not (flipped & (bits_of(before, 8) == bits_of(many, 8))).any()


def test_zeros_alone_store_nothing() -> None:
    network = wide(np.zeros(1, np.int64))
    assert flip_bits(network, 1.0, seed=0).projections[-1].silent


def test_weights_too_wide_are_refused() -> None:
    with pytest.raises(InputError, match="4 bits cannot hold"):
        flip_bits(wide(np.array([8, -8])), 0.1, seed=0, weight_bits=4)


def test_a_flipped_network_runs_the_same_on_another_target() -> None:
    for network in example_networks():
        flipped = flip_bits(network, 0.02, seed=3)
        target = GpuTarget("cpu")
        if violations(target, flipped):
            continue
        shown = images(network)
        got = target.compile(flipped).run(shown, record="all")
        for name, train in simulate(flipped, shown)[0].items():
            assert np.array_equal(got.spikes[name], train)


def test_all_spikes_can_be_lost(network: Network) -> None:
    assert not any(train.any() for train in simulate(network, images(network), lose_spikes(1.0, seed=0))[0].values())


def test_the_expected_share_of_spikes_is_lost() -> None:
    network, probability = example_networks()[0], 0.3
    first = network.spiking[0].name  # what it hears is the image, of which nothing is lost
    shown = images(network, 200)
    fired = simulate(network, shown)[0][first].astype(bool)
    kept = simulate(network, shown, lose_spikes(probability, seed=5))[0][first].astype(bool)
    assert not (kept & ~fired).any()
    deviation = np.sqrt(probability * (1 - probability) / fired.sum())
    assert abs((fired & ~kept).sum() / fired.sum() - probability) < 5 * deviation  # five standard errors


def test_a_lost_spike_has_reset_its_neuron_and_reaches_no_synapse() -> None:
    network = example_networks()[0]
    shown = images(network, 3)
    first, second = network.spiking[:2]
    silenced, _ = simulate(network, shown, lambda fired: fired & (fired.shape[1:] != first.shape))
    assert not silenced[first.name].any()
    cut = [
        replace(p, op=replace(p.op, weight=p.op.weight * 0)) if p.source == first.name else p
        for p in network.projections
    ]
    deaf, _ = simulate(replace(network, projections=tuple(cut)), shown)
    assert np.array_equal(silenced[second.name], deaf[second.name])


def test_a_program_with_losses_is_seeded_and_counts_what_arrives() -> None:
    network = example_networks()[0]
    shown = images(network, 50)
    runs = [ReferenceProgram(network, lose_spikes(0.2, seed)).run(shown, record="all") for seed in (1, 1, 2)]
    assert all(np.array_equal(runs[0].spikes[n], runs[1].spikes[n]) for n in runs[0].spikes)
    assert any(not np.array_equal(runs[0].spikes[n], runs[2].spikes[n]) for n in runs[0].spikes)
    assert runs[0].counts.total("spikes") == sum(int(train.sum()) for train in runs[0].spikes.values())
