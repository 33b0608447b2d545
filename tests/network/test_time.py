"""Inputs that change from step to step, resets by subtraction and none, and populations that feed themselves.

What they compute is held against `tests.oracles`; whole networks of them run in the conformance suite of each target.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import InputError, NetworkError
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.network import STATE_LIMIT, Dense, Input, Network, Neuron, Population, Projection, neuron_of
from kdsnn.network.float_simulation import simulate_float
from kdsnn.network.or_pool import max_pool
from kdsnn.network.overflow import overflows
from kdsnn.targets.reference import ReferenceTarget, simulate
from kdsnn.testing import example_networks, random_images, random_network
from tests import oracles

NEW = ("input-in-time", "subtract-reset", "recurrence")
KINDS = [
    {"in_time": in_time, "reset": reset, "recurrent": recurrent}
    for in_time in (False, True)
    for reset in ("zero", "subtract", "none")
    for recurrent in (False, True)
]


def alone(neuron: Neuron, *, timesteps: int = 6, static: bool = False, weight: int = 1, own: int = 0) -> Network:
    """One neuron behind one input of eight bits, which may feed itself."""
    projections = [Projection("input", "neuron", Dense(np.array([[weight]])))]
    if own:
        projections.append(Projection("neuron", "neuron", Dense(np.array([[own]]))))
    populations = (Population("input", (1,), Input(8, static=static)), Population("neuron", (1,), neuron))
    return Network("alone", populations, tuple(projections), timesteps, ("a",), integer=True)


def plain(threshold: int, **more: float | None) -> Neuron:
    return Neuron(threshold, np.zeros(1, dtype=np.int64), **more)  # type: ignore[arg-type]


def fires(network: Network, *images: list[int]) -> list[list[int]]:
    spikes, _ = simulate(network, np.array(images, dtype=np.uint8).reshape(len(images), *network.image_shape))
    return spikes["neuron"].reshape(len(images), -1).tolist()


def test_each_step_sends_a_frame_of_its_own() -> None:
    assert fires(alone(plain(10)), [0, 11, 5, 5, 0, 1], [11, 0, 0, 0, 0, 10]) == [
        [0, 1, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0],
    ]


def test_a_spike_takes_what_it_is_told_from_the_potential() -> None:
    drive = [25, 0, 0, 4, 3, 0]
    assert fires(alone(plain(10)), drive) == [[1, 0, 0, 0, 0, 0]]
    assert fires(alone(plain(10, reset_by=10 * 64)), drive) == [[1, 1, 0, 0, 1, 0]]
    assert fires(alone(plain(10, reset_by=0)), drive) == [[1, 1, 1, 1, 1, 1]]
    assert fires(alone(plain(10, reset_by=64 * 10 + 1)), [20, 1, 0, 0, 0, 0]) == [[1, 1, 0, 0, 0, 0]]  # 10 63/64, then
    assert fires(alone(plain(10, reset_by=64 * 10 + 64)), [20, 1, 0, 0, 0, 0]) == [[1, 0, 0, 0, 0, 0]]  # 10


def test_what_a_population_sends_to_itself_arrives_a_step_later_and_not_in_the_next_image() -> None:
    network = alone(plain(10), own=20, timesteps=3)
    assert fires(network, [0, 11, 0], [0, 0, 0], [0, 0, 11], [0, 0, 0]) == [[0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_a_spike_of_the_last_step_reaches_nothing_by_a_recurrent_projection() -> None:
    images = np.array([[[0], [11], [0]], [[0], [0], [11]]], dtype=np.uint8)
    (layer,) = ReferenceTarget().compile(alone(plain(10), own=20, timesteps=3)).run(images).counts.layers
    assert (layer.spikes, layer.synops_dense, layer.synops_effective, layer.input_macs) == (3, 1, 1, 2)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_reference_computes_what_plain_enumeration_does(kind: dict[str, object]) -> None:
    awake = 0
    for seed in range(4):
        network = random_network(seed, **kind)  # type: ignore[arg-type]
        images = random_images(network, 5, seed)
        wanted, potential = oracles.simulate_integer(network, images)
        found, last = simulate(network, images)
        for name, train in wanted.items():
            assert np.array_equal(found[name], train), (name, seed)
        assert np.array_equal(last, potential)
        awake += any(0 < train.mean() < 1 for train in wanted.values())
    assert awake >= 3


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_synaptic_operations_are_those_of_brute_force(kind: dict[str, object]) -> None:
    network = random_network(3, **kind)  # type: ignore[arg-type]
    images = random_images(network, 3)
    counts = ReferenceTarget().compile(network).run(images, record="all").counts
    wanted, _ = oracles.simulate_integer(network, images)
    for layer in counts.layers:
        dense = macs = 0
        for projection in network.incoming(layer.name):
            reached = oracles.fan_out(projection.op, network.population(projection.source).shape)
            events = int((oracles.carried(network, projection, images, wanted) * reached).sum())
            graded = projection.source == "input" and network.input_bits > 1
            macs, dense = (macs + events, dense) if graded else (macs, dense + events)
        assert (layer.synops_dense, layer.input_macs, layer.spikes) == (dense, macs, int(wanted[layer.name].sum()))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_float_simulation_computes_what_plain_enumeration_does(kind: dict[str, object]) -> None:
    made = random_network(1, **kind)  # type: ignore[arg-type]
    populations = [
        replace(p, model=Input(8, static=made.static))
        if p is made.input
        else replace(p, model=in_weight_units(neuron_of(p)))
        for p in made.populations
    ]
    projections = [
        replace(p, exponent=0, op=replace(p.op, weight=np.ldexp(p.op.weight.astype(float), p.exponent) / 3))
        for p in made.projections
    ]
    network = replace(made, integer=False, populations=tuple(populations), projections=tuple(projections))
    images = random_images(network, 3)
    wanted = oracles.simulate_float(network, images)
    found = simulate_float(network, images).spikes
    for population in network.spiking:
        assert np.array_equal(found[population.name], wanted[population.name]), population.name


def in_weight_units(neuron: Neuron) -> Neuron:
    return Neuron(
        neuron.threshold / 3,
        np.ldexp(neuron.bias.astype(float), neuron.bias_exponent - 6) / 3,
        decay_u=neuron.decay_u / 4096,
        decay_v=neuron.decay_v / 4096,
        reset_by=None if neuron.reset_by is None else neuron.reset_by / 64 / 3,
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_image_takes_a_network_further_than_the_proof_says(kind: dict[str, object]) -> None:
    for seed in range(3):
        network = random_network(seed, **kind)  # type: ignore[arg-type]
        assert not overflows(network)
        furthest = 0

        def watch(name: str, u: np.ndarray, v: np.ndarray) -> None:
            nonlocal furthest
            furthest = max(furthest, int(np.abs(u).max()), int(np.abs(v).max()))

        oracles.simulate_integer(network, random_images(network, 8, seed), watch)
        assert furthest < STATE_LIMIT


@pytest.mark.parametrize(
    ("neuron", "weight", "timesteps", "fits"),
    [
        (plain(10, reset_by=0), 64, 8, True),  # 8 steps of 255 * 64 weight units make 130,560, below 2**17
        (plain(10, reset_by=0), 65, 8, False),
        (plain(10), 65, 8, True),  # it is reset
        (plain(10, reset_by=10 * 64), 64, 8, True),
        (plain(10, reset_by=255 * 65 * 64), 65, 40, True),  # a spike takes all that a step brings
        (plain(10, reset_by=255 * 32 * 64), 64, 16, False),  # or half of it: 16 steps are too many
        (plain(10, reset_by=255 * 32 * 64), 64, 14, True),
        (plain(10, reset_by=0, clips=True), 127, 1000, True),
        (plain(10, reset_by=STATE_LIMIT - 1), 1, 3, True),  # after one spike it is near the end
        (plain(10, reset_by=STATE_LIMIT - 1), -1, 3, False),  # and from below it passes it
    ],
)
def test_the_worst_case_of_a_potential_without_a_reset_to_zero(
    neuron: Neuron, weight: int, timesteps: int, fits: bool
) -> None:
    network = alone(neuron, weight=weight, timesteps=timesteps)
    if weight < 0:  # with something that lets it fire first
        first = Projection("input", "neuron", Dense(np.array([[weight, 100]])))
        populations = (Population("input", (2,), Input(8, static=False)), network.populations[1])
        network = replace(network, populations=populations, projections=(first,))
    assert (not overflows(network)) == fits


def test_a_potential_that_clips_stays_at_the_highest() -> None:
    (network,) = (n for n in example_networks() if n.name == "clipping-from-above")
    white = np.full((1, *network.image_shape), 255, np.uint8)
    assert simulate(network, white)[0]["filled"][0, :, 0].tolist() == [0] + [1] * 10 + [0, 1, 1]
    without = [
        p if p.name != "filled" else replace(p, model=replace(p.model, clips=False)) for p in network.populations
    ]
    unclipped = replace(network, populations=tuple(without))
    assert simulate(unclipped, white)[0]["filled"][0, :, 0].tolist() == [0] + [1] * 13
    assert list(overflows(unclipped)) == ["filled"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_file_keeps_what_nir_cannot_say(kind: dict[str, object], tmp_path: Path) -> None:
    network = random_network(2, **kind)  # type: ignore[arg-type]
    write_nir(network, tmp_path / "model.nir")
    read = read_nir(tmp_path / "model.nir")
    assert read.fingerprint() == network.fingerprint()
    assert read.features == network.features
    images = random_images(network, 3)
    assert np.array_equal(simulate(read, images)[1], simulate(network, images)[1])


def test_each_of_them_is_a_feature_and_part_of_the_fingerprint() -> None:
    base = alone(plain(10))
    assert base.features & set(NEW) == {"input-in-time"}
    still = alone(plain(10), static=True)
    assert not still.features & set(NEW)
    subtracting, none = alone(plain(10, reset_by=640)), alone(plain(10, reset_by=0))
    assert "subtract-reset" in subtracting.features
    assert "subtract-reset" in none.features
    feeding = alone(plain(10), own=3)
    assert "recurrence" in feeding.features
    assert len({n.fingerprint() for n in (base, still, subtracting, none, feeding)}) == 5


def test_a_population_that_feeds_itself_is_no_deeper() -> None:
    network = random_network(0, recurrent=True)
    once = replace(network, projections=tuple(p for p in network.projections if not p.recurrent))
    assert network.depths == once.depths
    assert len(network.projections) > len(once.projections)


def test_a_population_that_is_not_reset_to_zero_is_no_or() -> None:
    network = next(n for n in example_networks() if any(max_pool(n, p) for p in n.spiking))
    pool = next(p for p in network.spiking if max_pool(network, p))
    kept = replace(pool, model=replace(pool.model, reset_by=1))
    populations = tuple(kept if p is pool else p for p in network.populations)
    assert max_pool(replace(network, populations=populations), kept) is None


@pytest.mark.parametrize(
    ("neuron", "problem"),
    [
        (plain(10, reset_by=0.5), "loses 0.5 by a spike, not a whole number"),
        (plain(10, reset_by=-1), "no amount"),
        (plain(10, reset_by=np.nan), "no amount"),
        (plain(10, reset_by=STATE_LIMIT), "not a whole number below"),
        (plain(2**17 - 1, fires=False, reset_by=1), "never fires"),
    ],
)
def test_amounts_that_no_spike_takes(neuron: Neuron, problem: str) -> None:
    with pytest.raises(NetworkError) as caught:
        alone(neuron)
    assert problem in str(caught.value.problems)


def test_time_has_an_end() -> None:
    assert alone(plain(10), timesteps=65535).timesteps == 65535
    with pytest.raises(NetworkError, match="not valid") as caught:
        alone(plain(10), timesteps=65536)
    assert "from 1 to 65535" in str(caught.value.problems)


def test_an_input_feeds_nobody_backwards_and_a_population_not_itself_alone() -> None:
    neuron = Population("neuron", (1,), plain(10))
    into_input = Projection("input", "input", Dense(np.array([[1]])))
    own = Projection("neuron", "neuron", Dense(np.array([[1]])))
    first = Projection("input", "neuron", Dense(np.array([[1]])))
    populations = (Population("input", (1,), Input()), neuron)
    for projections, problem in [((first, into_input), "runs backwards"), ((own,), "no incoming projection")]:
        with pytest.raises(NetworkError) as caught:
            Network("wrong", populations, projections, 3, ("a",), integer=True)
        assert problem in str(caught.value.problems)


def test_an_image_where_frames_are_wanted_is_refused() -> None:
    program = ReferenceTarget().compile(alone(plain(10)))
    with pytest.raises(InputError, match=r"takes \(N, 6, 1\): a frame for each of its 6 time steps"):
        program.run(np.zeros((2, 1), np.uint8))
