"""The specification itself, against numbers worked out by hand from the equations in `kdsnn.network`."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import InputError, TimedOutError
from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.reference import ReferenceTarget, decay, simulate
from kdsnn.testing import example_networks, random_images


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
