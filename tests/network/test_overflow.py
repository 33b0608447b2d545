"""The bounds hold for every image, and are reached: checked against brute force on worst-case images."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network import overflow as bounds
from kdsnn.network.counters import input_messages
from kdsnn.network.linear_maps import apply
from kdsnn.targets.reference import decay
from kdsnn.testing import random_images, random_network


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
    messages = input_messages(network, images).astype(np.int64)
    u = {p.name: np.zeros((len(images), *p.shape), np.int64) for p in network.spiking}
    v = {name: x.copy() for name, x in u.items()}
    for _ in range(network.timesteps):
        sent = {"input": messages}
        for population in network.spiking:
            name, neuron = population.name, population.model
            a = sum(apply(p.op, sent[p.source]) << p.exponent for p in network.incoming(name))
            u[name] = decay(u[name], neuron.decay_u) + (a << 6)
            assert np.abs(u[name]).max() < 2**23
            bias = neuron.bias.reshape(population.shape) << neuron.bias_exponent
            v[name] = decay(v[name], neuron.decay_v) + u[name] + bias
            assert np.abs(v[name]).max() < 2**23
            fired = v[name] > neuron.threshold << 6
            v[name][fired] = 0
            sent[name] = fired.astype(np.int64)


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
