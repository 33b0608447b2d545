"""Weights that lie on a grid: where integers can be exact, they are, ties and thresholds included."""

import numpy as np
import pytest

from kdsnn.export.quantization.grid import grid_candidates, whole_threshold
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.overflow import overflows
from kdsnn.targets.reference import simulate
from tests.oracles import simulate_float


def layer(op: Conv2d | Dense, theta: float, timesteps: int, source: tuple[int, ...], bias: float = 0.0) -> Network:
    """One population that reads pixels."""
    shape = op.output_shape(source)
    out = Population("out", shape, Neuron(theta, np.full(int(np.prod(shape)), bias), decay_u=1.0))
    populations = (Population("in", source, Input()), out)
    return Network("layer", populations, (Projection("in", "out", op),), timesteps, labels(out), integer=False)


def labels(population: Population) -> tuple[str, ...]:
    return tuple(map(str, range(population.neurons)))


def differing(network: Network, images: np.ndarray, **options: object) -> float:
    """Share of neuron-steps in which the integer network spikes otherwise than the float network."""
    integer, report = quantize(network, **options)  # type: ignore[arg-type]
    assert report.layers[0].limited_by == "exact"
    assert overflows(integer) == {}
    exact = simulate_float(network, images)["out"]
    assert 0.02 < exact.mean() < 0.9
    return float((exact != simulate(integer, images)[0]["out"]).mean())


@pytest.mark.parametrize("method", ["max", "mse", "spikes"])
@pytest.mark.parametrize(("theta", "wanted"), [(np.nextafter(2, 0), [0, 1, 0, 1]), (2.0, [0, 0, 1, 0])])
def test_a_tie_is_decided_as_the_float_network_decides_it(method: str, theta: float, wanted: list[int]) -> None:
    """Nine weights of one, one white pixel: at the second step the potential is at the threshold."""
    network = layer(Dense(np.ones((1, 9)) / 255), theta, 4, (9,))
    image = np.zeros((1, 9), dtype=np.uint8)
    image[0, 3] = 255
    assert simulate_float(network, image)["out"].ravel().tolist() == wanted
    for bits in (1, 4, 8, None):
        integer, _ = quantize(network, input_bits=bits, calibration=image, method=method)
        assert simulate(integer, image)[0]["out"].ravel().tolist() == wanted


@pytest.mark.parametrize("weight_bits", [2, 4, 8])
@pytest.mark.parametrize("bits", [1, 8])
def test_ternary_convolutions_of_binary_images_are_exact(weight_bits: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    op = Conv2d(rng.integers(-1, 2, (8, 2, 3, 3)) * float(np.float32(0.37)) / 255, padding=(1, 1))
    images = (rng.random((30, 2, 10, 10)) < 0.4).astype(np.uint8) * 255
    for theta in (1.0, 0.5, 2.3):
        network = layer(op, theta, 6, (2, 10, 10))
        assert differing(network, images, weight_bits=weight_bits, input_bits=bits) == 0


def test_powers_of_two_with_biases_on_the_grid_are_exact() -> None:
    rng = np.random.default_rng(1)
    weight = rng.choice([-0.5, -0.25, -0.125, 0, 0.125, 0.25, 0.5], (20, 30)) / 255
    images = (rng.random((40, 30)) < 0.4).astype(np.uint8) * 255
    for bias in (0.0, 0.125, -0.25, 0.015625):
        network = layer(Dense(weight), 1.0, 6, (30,), bias)
        assert differing(network, images, calibration=images) == 0


def test_a_bias_beside_the_grid_and_a_leak_have_no_exact_scale() -> None:
    weights = [np.array([[0.25, -0.5]])]
    plain = Neuron(1.0, np.zeros(1), decay_u=1.0)
    assert [c.threshold for c in grid_candidates(plain, weights, 7)] == [4, 8, 12]
    assert grid_candidates(Neuron(1.0, np.array([0.1]), decay_u=1.0), weights, 7) == []
    assert grid_candidates(Neuron(1.0, np.zeros(1), decay_u=1.0, decay_v=0.5), weights, 7) == []
    assert grid_candidates(Neuron(1.0, np.zeros(1), decay_u=0.5), weights, 7) == []
    assert grid_candidates(plain, [np.array([[0.25, 0.2501]])], 7) == []
    assert grid_candidates(plain, [np.array([[0.25, 4.0]])], 7) == []  # sixteen steps, of which there are seven


def test_potentials_that_a_bias_puts_beside_a_threshold_need_a_finer_scale() -> None:
    """Steps of half a quarter, and a threshold of 3.6 quarters: 3.5 is below it, and 3 as a threshold is below 3.5."""
    weights = [np.array([[0.25, -0.5]])]
    half = Neuron(0.9, np.array([0.125]), decay_u=1.0)
    assert [c.threshold for c in grid_candidates(half, weights, 7)] == [7]
    odd = Neuron(1.0, np.array([0.25 * 8191 / 64]), decay_u=1.0)  # of 13 bits with an exponent, none is odd
    assert grid_candidates(odd, weights, 7) == []
    even = Neuron(1.0, np.array([0.25 * 8190 / 64]), decay_u=1.0)
    assert [c.threshold for c in grid_candidates(even, weights, 3)] == [4]


def test_thresholds_between_two_whole_numbers() -> None:
    assert whole_threshold(1.0, 0.25) == 4
    assert whole_threshold(np.nextafter(1.0, 0), 0.25) == 3
    assert whole_threshold(0.9, 0.25) == 3
    assert whole_threshold(np.nextafter(2.0, 0), 1 / 255) == 509
    under = float(np.nextafter(17 * 0.1, 0))
    assert int(under / 0.1) == 17  # a quotient that rounds up
    assert whole_threshold(under, 0.1) == 16


@pytest.mark.parametrize("weight", [60.0, 60.5])
def test_an_exact_scale_that_overflows_leaves_the_others(weight: float) -> None:
    """2 x 9 weights of 60, pixels as they are: at scale one a step's drive would pass 2**17."""
    network = layer(Dense(np.full((2, 9), weight)), 20000.0, 4, (9,))
    images = np.random.default_rng(0).integers(0, 256, (20, 9)).astype(np.uint8)
    integer, report = quantize(network, input_bits=8)
    assert overflows(integer) == {}
    assert report.layers[0].scale >= 1.05
    exact = simulate_float(network, images)["out"]
    assert (exact == simulate(integer, images)[0]["out"]).all()
