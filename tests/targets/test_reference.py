"""The specification itself, against numbers worked out by hand from the equations in `kdsnn.network`."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from kdsnn.errors import InputError, TimedOutError
from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.reference import BATCH, ReferenceProgram, ReferenceTarget, decay, simulate
from kdsnn.testing import example_networks, random_images, random_network
from tests.oracles import simulate_integer


def one_neuron(weight: int, *, timesteps: int, exponent: int = 0, **neuron: object) -> Network:
    fields = {"threshold": 10, "bias": np.zeros(1, dtype=np.int64)}
    populations = (Population("input", (1, 1, 1), Input()), Population("out", (1,), Neuron(**{**fields, **neuron})))
    projection = Projection("input", "out", Dense(np.array([[weight]])), exponent)
    return Network("one", populations, (projection,), timesteps, ("a",), integer=True)


def spikes(network: Network, pixel: int) -> list[int]:
    return simulate(network, np.full((1, 1, 1, 1), pixel, np.uint8))[0]["out"][0, :, 0].tolist()


def test_fires_strictly_above_the_threshold_and_resets_to_zero() -> None:
    network = one_neuron(1, timesteps=6)
    assert spikes(network, 5) == [0, 0, 1, 0, 0, 1]  # 5, 10 (not above 10), 15 -> 0, 5, 10, 15
    assert spikes(network, 11) == [1] * 6
    assert spikes(network, 10) == [0, 1, 0, 1, 0, 1]


def test_bias_counts_in_64ths_of_a_weight_unit() -> None:
    network = one_neuron(0, timesteps=4, bias=np.array([10]), bias_exponent=6)  # 10 weight units a step
    assert spikes(network, 0) == [0, 1, 0, 1]
    fine = one_neuron(0, timesteps=2, bias=np.array([641]), bias_exponent=0)  # a 64th above the threshold
    assert spikes(fine, 0) == [1, 1]


def test_exponent_doubles() -> None:
    assert spikes(one_neuron(1, timesteps=2, exponent=1), 6) == [1, 1]  # 12 > 10
    assert spikes(one_neuron(1, timesteps=2), 6) == [0, 1]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_is_exact_to_the_end_of_the_range(sign: int) -> None:
    weights = np.array([[127] * 514 + [126, 3] + [-127] * 515])  # as much again may lie below a threshold
    ends = Population("input", (1, 1, weights.size), Input(bits=1)), Projection("input", "out", Dense(weights * sign))
    image = np.where(weights * sign > 0, 255, 0).reshape(1, 1, 1, -1).astype(np.uint8)
    total = int(weights[weights * sign > 0].sum()) * sign
    for threshold, fires in ((total - 1, True), (total, False)):
        neuron = Population("out", (1,), Neuron(threshold, np.zeros(1, dtype=np.int64)))
        network = Network("one", (ends[0], neuron), (ends[1],), 1, ("a",), integer=True)
        assert not ReferenceTarget().check(network)
        assert bool(simulate(network, image)[0]["out"].item()) is fires


def test_leak_and_current_memory() -> None:
    leaky = one_neuron(1, timesteps=4, decay_v=2048)  # v: 8, 4+8=12 -> fires, 8, 12
    assert spikes(leaky, 8) == [0, 1, 0, 1]
    memory = one_neuron(1, timesteps=3, decay_u=2048, decay_v=0)  # u: 4, 6, 7; v: 4, 10, 17
    assert spikes(memory, 4) == [0, 0, 1]


def test_decay_rounds_towards_zero() -> None:
    values = np.array([-3, -1, 0, 1, 3, 1000])
    assert decay(values, 2048).tolist() == [-1, 0, 0, 0, 1, 500]
    assert decay(values, 4096).tolist() == [0] * 6
    assert decay(values, 0).tolist() == values.tolist()


def test_negative_drive_never_fires_and_holds_back() -> None:
    network = one_neuron(-1, timesteps=4, bias=np.array([12]), bias_exponent=6)
    assert spikes(network, 20) == [0, 0, 0, 0]
    assert spikes(network, 0) == [1, 1, 1, 1]


def test_input_bits_drop_the_low_bits_of_a_pixel() -> None:
    network = one_neuron(1, timesteps=1)
    four = replace(network, populations=(replace(network.input, model=Input(4)), network.output))
    assert spikes(replace(four, projections=network.projections), 175) == [0]  # 175 >> 4 = 10
    assert spikes(four, 176) == [1]


def test_batch_equals_singles_and_state_does_not_leak() -> None:
    network = example_networks()[2]
    images = random_images(network, 40)
    program = ReferenceTarget().compile(network)
    together = program.run(images, record="all")
    alone = [program.run(images[i : i + 1], record="all") for i in range(40)]
    for name, train in together.spikes.items():
        assert np.array_equal(train, np.concatenate([r.spikes[name] for r in alone]))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 1, 1, 1)),
        np.zeros((0, 1, 1, 1), np.uint8),
        np.zeros((1, 1, 2, 1), np.uint8),
        np.zeros((1, 1, 1), np.uint8),
    ],
    ids=["float", "none", "shape", "no channel"],
)
def test_wrong_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(InputError):
        ReferenceTarget().compile(one_neuron(1, timesteps=1)).run(images)


def test_time_limit() -> None:
    network = example_networks()[0]
    with pytest.raises(TimedOutError, match="after 32 images"):
        ReferenceTarget().compile(network).run(random_images(network, 64), time_limit_s=0.0)


def test_counts_and_types_over_several_batches() -> None:
    """More images than a batch, with counts by enumeration; what is kept is what was asked for."""
    network = example_networks()[6]  # an output that never fires
    images = random_images(network, BATCH + 9)
    result = ReferenceTarget().compile(network).run(images)
    wanted, potentials = simulate_integer(network, images)
    assert list(result.spikes) == [network.output.name]
    assert result.spikes[network.output.name].dtype == np.uint8
    assert result.potentials is not None
    assert result.potentials.dtype == np.int32
    assert np.array_equal(result.potentials, potentials)
    assert result.versions == {"numpy": np.__version__}
    for layer in result.counts.layers:
        assert layer.spikes == wanted[layer.name].sum()
        assert layer.neuron_updates == layer.neurons * network.timesteps * len(images)
    everything = ReferenceTarget().compile(network).run(images, record="all")
    assert all(np.array_equal(everything.spikes[name], train) for name, train in wanted.items())


def test_spikes_may_be_lost_on_the_way() -> None:
    """`arrives` sees those that fired, and only what it lets through reaches the next population, and is counted."""
    network = example_networks()[0]
    images = random_images(network, 3)
    seen: list[np.ndarray] = []

    def nothing(fired: np.ndarray) -> np.ndarray:
        seen.append(fired)
        return np.zeros_like(fired)

    result = ReferenceProgram(network, nothing).run(images, record="all")
    assert any(fired.any() for fired in seen)
    assert result.counts.total("spikes") == result.counts.total("synops_dense") == 0
    assert not any(train.any() for train in result.spikes.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000), st.booleans())
def test_the_specification_is_what_an_enumeration_of_synapses_computes(seed: int, integrates: bool) -> None:
    network = random_network(seed, integrates=integrates)
    images = random_images(network, 3, seed)
    spikes, potentials = simulate(network, images)
    wanted, last = simulate_integer(network, images)
    assert np.array_equal(potentials, last)
    for name, train in wanted.items():
        assert spikes[name].dtype == np.uint8
        assert np.array_equal(spikes[name], train), name


def test_batches_side_by_side_are_put_together_in_their_order() -> None:
    network = example_networks()[0]
    images = random_images(network, 11)
    one, several = ReferenceProgram(network), ReferenceProgram(network)
    one.threads, several.threads = 1, 3
    one.batch = several.batch = 2
    done: list[int] = []
    found, wanted = several.run(images, record="all", progress=done.append), one.run(images, record="all")
    assert done == [2, 4, 6, 8, 10, 11]
    assert found.counts == wanted.counts
    assert all(np.array_equal(found.spikes[name], train) for name, train in wanted.spikes.items())
    assert wanted.spikes["layer1"].any()


def test_what_goes_wrong_in_a_batch_ends_the_run_and_so_does_its_time() -> None:
    network = example_networks()[0]
    program = ReferenceProgram(network, lambda fired: 1 // 0)  # type: ignore[arg-type,return-value]
    program.threads, program.batch = 2, 1
    with pytest.raises(ZeroDivisionError):
        program.run(random_images(network, 40))
    slow = ReferenceProgram(network, lambda fired: (time.sleep(0.05), fired)[1])
    slow.threads, slow.batch = 2, 1
    begun = time.monotonic()
    with pytest.raises(TimedOutError, match="after 1 images"):
        slow.run(random_images(network, 400), time_limit_s=0.01)
    assert time.monotonic() - begun < 20


def test_as_many_batches_as_blas_may_have_threads_and_one_where_spikes_are_lost_at_random() -> None:
    network = example_networks()[0]
    with threadpool_limits(3, user_api="blas"):
        assert ReferenceProgram(network).threads == 3
        assert ReferenceProgram(network, lambda fired: fired).threads == 1
    with threadpool_limits(1, user_api="blas"):
        assert ReferenceProgram(network).threads == 1
