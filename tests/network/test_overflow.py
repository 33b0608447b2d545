"""The bounds hold for every image, and are reached: checked against brute force on worst-case images."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network import overflow as bounds
from kdsnn.testing import random_images, random_network
from tests.oracles import simulate_integer


def single(
    weight: list[list[int]], *, threshold: int = 100, bias: int = 0, timesteps: int = 4, bits: int = 8
) -> Network:
    matrix = np.array(weight)
    neuron = Neuron(threshold, np.full(len(matrix), bias))
    populations = (
        Population("input", (1, 1, matrix.shape[1]), Input(bits)),
        Population("out", (len(matrix),), neuron),
    )
    labels = tuple(map(str, range(len(matrix))))
    return Network("one", populations, (Projection("input", "out", Dense(matrix)),), timesteps, labels, integer=True)


def tiny(
    weights: list[list[int]],
    *,
    threshold: int = 100,
    bias: int = 0,
    bias_exponent: int = 0,
    exponent: int = 0,
    decay_u: int = 4096,
    decay_v: int = 0,
    timesteps: int = 1,
) -> Network:
    network = single(weights, timesteps=timesteps)
    neuron = Neuron(threshold, np.full(len(weights), bias), bias_exponent, decay_u, decay_v)
    populations = (network.input, replace(network.output, model=neuron))
    return replace(network, populations=populations, projections=(replace(network.projections[0], exponent=exponent),))


def test_a_current_that_could_wrap_is_found() -> None:
    fits = single([[127] * 4], timesteps=1)  # 4 * 127 * 255 = 129540 < 2**17
    wraps = single([[127] * 5], timesteps=1)
    assert bounds.overflows(fits) == {}
    assert bounds.overflows(wraps) == {"out": f"its current could reach {5 * 127 * 255 * 64}, and wraps at {2**23}"}


def test_a_potential_that_could_clip_after_some_steps_is_found() -> None:
    weight = [[-100] * 3]  # -76500 a step: two steps pass -2**17
    assert bounds.overflows(single(weight, timesteps=1)) == {}
    assert "its potential could reach" in bounds.overflows(single(weight, timesteps=2))["out"]


def test_threshold_and_bias_count_towards_the_potential() -> None:
    assert bounds.overflows(single([[1]], threshold=2**17 - 1, timesteps=1)) != {}
    assert bounds.overflows(single([[1]], threshold=2**16, timesteps=1)) == {}


def test_fewer_input_bits_lower_the_bound() -> None:
    weight = [[100] * 6]
    assert bounds.overflows(single(weight, timesteps=1)) != {}
    assert bounds.overflows(single(weight, timesteps=1, bits=7)) == {}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_no_image_leaves_the_proven_range(seed: int) -> None:
    """Random and extreme images through a plain simulation that checks every intermediate value."""
    network = random_network(seed)
    images = np.concatenate([random_images(network, 4, seed), np.full((1, *network.input.shape), 255, np.uint8)])

    def inside(_name: str, u: np.ndarray, v: np.ndarray) -> None:
        assert np.abs(u).max() < 2**23
        assert np.abs(v).max() < 2**23

    simulate_integer(network, images, watch=inside)


TINY = st.builds(
    tiny,
    weights=st.lists(st.lists(st.integers(-127, 127), min_size=3, max_size=3), min_size=1, max_size=2),
    bias=st.integers(-4096, 4095),
    bias_exponent=st.integers(0, 7),
    exponent=st.integers(0, 7),
    threshold=st.integers(0, 2**17 - 1),
    decay_u=st.sampled_from([4096, 4096, 3000, 1]),
    decay_v=st.sampled_from([0, 0, 100, 4000]),
    timesteps=st.integers(1, 3),
)


@settings(max_examples=300, deadline=None)
@given(TINY)
def test_the_worst_case_is_that_of_the_worst_image(network: Network) -> None:
    """All images of a tiny network: where the proof finds nothing, none leaves the range; the bound of u is reached."""
    images = np.array(list(product((0, 255), repeat=3)), dtype=np.uint8).reshape(-1, 1, 1, 3)
    reached = {"u": 0, "v": 0}

    def watch(_name: str, u: np.ndarray, v: np.ndarray) -> None:
        reached["u"] = max(reached["u"], int(np.abs(u).max()))
        reached["v"] = max(reached["v"], int(np.abs(v).max()))

    simulate_integer(network, images, watch=watch)
    problem = bounds.overflows(network).get("out", "")
    if not problem:
        assert max(reached.values()) < 2**23
    if "current" in problem:
        assert problem == f"its current could reach {reached['u']}, and wraps at {2**23}"
    elif reached["u"] >= 2**23:
        pytest.fail("the current leaves the range, and the proof does not say so")
    elif reached["v"] >= 2**23:
        assert "potential" in problem


def test_a_bias_counts_towards_the_potential_in_both_directions() -> None:
    quiet = tiny(weights=[[0, 0, 0]], threshold=2**17 - 1, timesteps=1)
    assert bounds.overflows(quiet) == {}
    assert bounds.overflows(tiny(weights=[[0, 0, 0]], bias=64, threshold=2**17 - 1, timesteps=1)) != {}
    falling = tiny(weights=[[0, 0, 0]], bias=-4096, bias_exponent=7, timesteps=15)  # 15 * 524288 < 2**23
    assert bounds.overflows(falling) == {}
    once_more = tiny(weights=[[0, 0, 0]], bias=-4096, bias_exponent=7, timesteps=16)
    assert bounds.overflows(once_more) == {"out": f"its potential could reach {2**23}, and clips at {2**23}"}


def test_drive_range_is_reached_by_the_worst_images() -> None:
    network = random_network(3)
    projection = network.projections[0]
    low, high = bounds.drive_range(projection, 255)
    op = projection.op
    for channel, (least, most) in enumerate(zip(low, high, strict=True)):
        weight = op.weight[channel].astype(np.int64)
        assert least == (weight[weight < 0].sum() * 255) << projection.exponent
        assert most == (weight[weight > 0].sum() * 255) << projection.exponent


def test_an_exponent_scales_the_bound() -> None:
    network = single([[60] * 4], timesteps=1)
    doubled = replace(network, projections=(replace(network.projections[0], exponent=2),))
    assert bounds.overflows(network) == {}
    assert bounds.overflows(doubled) != {}


@pytest.mark.parametrize("timesteps", [1, 2, 3])
def test_leak_lowers_the_bound(timesteps: int) -> None:
    network = single([[-100] * 3], timesteps=timesteps)
    population = network.output
    leaky = replace(population, model=replace(population.model, decay_v=4000))
    assert bounds.overflows(replace(network, populations=(network.input, leaky))) == {}
