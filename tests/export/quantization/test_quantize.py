"""Quantization: thresholds map exactly, bounds are kept, the input's width is chosen by error, failures are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdsnn.choices import METHODS
from kdsnn.errors import InputError, NetworkError, UsageError
from kdsnn.export.quantization.candidates import integers
from kdsnn.export.quantization.quantize import quantize, requantize
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.linear_maps import apply
from kdsnn.network.overflow import overflows
from kdsnn.targets.reference import simulate
from tests.oracles import simulate_float


def chain(seed: int = 0, *, theta: float = 1.0, gain: float = 1.0, steps: int = 4) -> Network:
    """conv 3x3 -> OR pool 2 -> dense, with random float weights of a trained net's size."""
    rng = np.random.default_rng(seed)
    conv = Conv2d(gain * rng.normal(0, 0.3, (6, 1, 3, 3)) / 255, padding=(1, 1))
    pool = Conv2d(np.ones((6, 1, 2, 2)), (2, 2), groups=6)
    dense = Dense(gain * rng.normal(0, 0.15, (5, 6 * 16)))
    bias = np.repeat(gain * rng.normal(0, 0.1, 6), 64)
    populations = (
        Population("input", (1, 8, 8), Input()),
        Population("if1", (6, 8, 8), Neuron(theta, bias, decay_u=1.0)),
        Population("pool", (6, 4, 4), Neuron(0.5, np.zeros(96), decay_u=1.0)),
        Population("out", (5,), Neuron(theta, np.zeros(5), decay_u=1.0)),
    )
    projections = (
        Projection("input", "if1", conv),
        Projection("if1", "pool", pool),
        Projection("pool", "out", dense),
    )
    return Network("chain", populations, projections, steps, tuple("abcde"), integer=False)


def images(n: int = 40, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 1, 8, 8))
    return np.where(rng.random(x.shape) < 0.6, 0, x).astype(np.uint8)


def test_spikes_stay_close_to_the_float_network_and_nothing_overflows() -> None:
    network = chain()
    integer, report = quantize(network, calibration=images())
    assert overflows(integer) == {}
    test = images(100, seed=2)
    exact, made = simulate_float(network, test), simulate(integer, test)[0]
    for name, train in exact.items():
        assert train.mean() > 0.02
        assert (train != made[name]).mean() < 0.03, name
    assert integer.integer
    assert [layer.name for layer in report.layers] == ["if1", "pool", "out"]
    assert all(layer.weight_error < 0.05 for layer in report.layers)


def test_an_or_pool_stays_exactly_what_it_is() -> None:
    integer, report = quantize(chain())
    projection = integer.incoming("pool")[0]
    assert (projection.op.weight == 1).all()
    assert projection.exponent == 0
    assert integer.population("pool").model.threshold == 0
    assert report.layers[1].limited_by == "exact"


def test_a_threshold_is_exact_in_the_new_scale() -> None:
    integer, report = quantize(chain(theta=0.73))
    for layer in report.layers:
        if layer.limited_by != "exact":
            assert layer.scale * layer.threshold == pytest.approx(0.73, rel=1e-12)
            assert integer.population(layer.name).model.threshold == layer.threshold


def test_scaling_weights_and_thresholds_together_changes_nothing() -> None:
    """By a power of two, so that the float inputs of the rounding are the same to the bit."""
    x = images()
    first, _ = quantize(chain(), calibration=x)
    network = chain(gain=4.0, theta=4.0)
    second, _ = quantize(network, calibration=x)
    assert first.fingerprint() == second.fingerprint()


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_weight_bits_are_kept(bits: int) -> None:
    integer, report = quantize(chain(), weight_bits=bits)
    largest = 2 ** (bits - 1) - 1
    assert max(np.abs(p.op.weight).max() for p in integer.projections) == largest
    assert report.weight_bits == bits


def test_the_width_of_the_input_is_chosen_by_the_error() -> None:
    _, report = quantize(chain(gain=3.0, theta=3.0), calibration=images())
    assert [t.bits for t in report.input_trials] == [8, 7, 6, 5, 4]
    best = min(report.input_trials, key=lambda t: t.drive_error)
    assert report.input_bits == best.bits
    widest = [t.largest_weight for t in report.input_trials]
    assert widest == sorted(widest)  # fewer input bits leave room for more weight bits


def test_full_scale_pixels_stay_full_scale_at_any_width() -> None:
    network = chain()
    white = np.full((1, 1, 8, 8), 255, np.uint8)
    exact = apply(network.projections[0].op, white.astype(np.float64))
    for bits in (8, 6, 4, 1):
        integer, report = quantize(network, input_bits=bits)
        made = apply(integer.projections[0].op, (white >> (8 - bits)).astype(np.int64)) * report.layers[0].scale
        assert np.abs(made - exact).max() < 0.05 * np.abs(exact).max()


def test_several_projections_share_a_scale_up_to_a_power_of_two() -> None:
    rng = np.random.default_rng(3)
    base = chain()
    large = Projection("pool", "out", Dense(rng.normal(0, 1.0, (5, 96))))
    small = Projection("if1", "out", Dense(rng.normal(0, 0.02, (5, 384))))
    network = replace(base, projections=(*base.projections[:2], large, small))
    integer, report = quantize(network)
    scale = report.layers[-1].scale
    exponents = {}
    for exact, made in zip(network.incoming("out"), integer.incoming("out"), strict=True):
        exponents[exact.name] = made.exponent
        step = scale * 2**made.exponent
        assert np.abs(made.op.weight * step - exact.op.weight).max() <= step / 2 * (1 + 1e-9)
    assert exponents["pool->out"] > exponents["if1->out"]


def test_a_silent_layer_and_an_outlier() -> None:
    network = chain()
    zero = replace(network.projections[2], op=Dense(np.zeros((5, 96))))
    integer, report = quantize(replace(network, projections=(*network.projections[:2], zero)))
    assert not integer.projections[2].op.weight.any()
    assert report.layers[-1].weight_error == 0.0
    weight = network.projections[2].op.weight.copy()
    weight[0, 0] = 1000.0
    outlier = replace(network.projections[2], op=Dense(weight))
    integer, report = quantize(replace(network, projections=(*network.projections[:2], outlier)))
    kept = integer.projections[2].op.weight[0, 0] * 2 ** integer.projections[2].exponent * report.layers[-1].scale
    assert kept == pytest.approx(1000.0, rel=0.01)
    assert report.layers[-1].threshold == 1  # the outlier is kept; a threshold of one unit shows at what price


def test_a_large_bias_limits_the_scale() -> None:
    network = chain()
    out = network.output
    biased = replace(out, model=replace(out.model, bias=np.full(5, 900.0)))
    integer, report = quantize(replace(network, populations=(*network.populations[:-1], biased)))
    assert report.layers[-1].limited_by == "bias bits"
    model = integer.output.model
    got = (model.bias.astype(float) * 2.0**model.bias_exponent / 64) * report.layers[-1].scale
    assert got == pytest.approx(900.0, rel=1e-3)


def test_the_errors_of_rounding_biases_and_decays_are_reported() -> None:
    network = chain()
    leaky = [replace(p, model=replace(p.model, decay_u=0.3, decay_v=0.1)) for p in network.spiking]
    integer, report = quantize(replace(network, populations=(network.input, *leaky)), input_bits=8)
    layer, neuron = report.layers[0], integer.population("if1").model
    assert layer.decay_error == pytest.approx(max(abs(1229 / 4096 - 0.3), abs(410 / 4096 - 0.1)))
    assert (neuron.decay_u, neuron.decay_v) == (1229, 410)
    added = neuron.bias * 2.0**neuron.bias_exponent / 64 * layer.scale
    assert layer.bias_error == pytest.approx(np.abs(added - network.population("if1").model.bias).max() / 1.0)
    assert 0 < layer.bias_error < 0.01
    assert report.layers[1].bias_error == 0


def test_what_fits_at_no_scale_is_named() -> None:
    network = chain()
    hopeless = replace(network.projections[0], op=Conv2d(np.full((6, 1, 3, 3), -1e4), padding=(1, 1)))
    with pytest.raises(NetworkError, match="'if1' fits the hardware's state at no scale"):
        quantize(replace(network, projections=(hopeless, *network.projections[1:])))


def test_wrong_calls_are_refused() -> None:
    integer, _ = quantize(chain())
    with pytest.raises(NetworkError, match="integer network already"):
        quantize(integer)
    with pytest.raises(InputError, match="weight_bits must be 2 to 15"):
        quantize(chain(), weight_bits=16)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_the_least_error_is_no_larger_than_that_of_the_largest_weight(bits: int) -> None:
    kept = {m: quantize(chain(), weight_bits=bits, input_bits=6, method=m) for m in METHODS}
    for plain, searched in zip(kept["max"][1].layers, kept["mse"][1].layers, strict=True):
        assert searched.weight_error <= plain.weight_error
        assert plain.clipped == 0
    for integer, report in kept.values():
        assert overflows(integer) == {}
        assert max(np.abs(p.op.weight).max() for p in integer.projections) == 2 ** (bits - 1) - 1
        assert integer.population("pool").model.threshold == 0
        assert (integer.incoming("pool")[0].op.weight == 1).all()
        assert report.layers[1].limited_by == "exact"
        assert report.method in integer.provenance["quantization"] + " max"
    if bits <= 4:
        assert kept["mse"][1].layers[2].weight_error < 0.8 * kept["max"][1].layers[2].weight_error
        assert kept["mse"][1].layers[2].clipped > 0


def test_the_least_error_is_that_of_a_search_by_hand() -> None:
    """Every threshold and exponent that the hardware has, one population, one projection."""
    network = chain()
    weight = network.projections[2].op.weight
    _, report = quantize(network, weight_bits=3, method="mse")
    errors = []
    for threshold in range(1, 100):
        for exponent in range(4):
            step = 2**exponent / threshold
            errors.append(np.linalg.norm(np.clip(np.round(weight / step), -3, 3) * step - weight))
    best = min(errors) / np.linalg.norm(weight)
    assert best <= report.layers[2].weight_error * (1 + 1e-12)
    assert report.layers[2].weight_error < 1.01 * best  # the search tries every 50th threshold


def test_a_percentile_clips_an_outlier_and_the_largest_weight_does_not() -> None:
    network = chain()
    weight = np.random.default_rng(5).normal(0, 0.1, (50, 96))
    weight[0, 0] = 5.0
    out = Population("out", (50,), Neuron(1.0, np.zeros(50), decay_u=1.0))
    wide = replace(
        network,
        populations=(*network.populations[:-1], out),
        projections=(*network.projections[:2], Projection("pool", "out", Dense(weight))),
        labels=tuple(map(str, range(50))),
    )
    layers = {m: quantize(wide, weight_bits=6, method=m)[1].layers[-1] for m in METHODS}
    assert layers["max"].clipped == 0
    assert 1 <= round(layers["percentile"].clipped * weight.size) <= weight.size / 1000 + 1
    integer, _ = quantize(wide, weight_bits=6, method="percentile")
    assert integer.incoming("out")[0].op.weight[0, 0] == 31
    assert layers["percentile"].threshold > 5 * layers["max"].threshold


def test_integers_are_exact_whatever_the_threshold() -> None:
    """A threshold of 2.5 on whole inputs is one of 2, and the weights stay."""
    network = chain()
    pool = network.population("pool")
    gated = replace(pool, model=replace(pool.model, threshold=2.5))
    network = replace(network, populations=(*network.populations[:2], gated, network.output))
    for method in METHODS:
        integer, report = quantize(network, weight_bits=3, method=method)
        assert integer.population("pool").model.threshold == 2
        assert (integer.incoming("pool")[0].op.weight == 1).all()
        assert report.layers[1].scale == 1.0
    leaky = replace(pool, model=replace(pool.model, threshold=2.5, decay_v=0.25))
    _, report = quantize(replace(network, populations=(*network.populations[:2], leaky, network.output)))
    assert report.layers[1].limited_by != "exact"  # what a leak leaves is no whole number


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_silent_layer_by_every_method(method: str) -> None:
    network = chain()
    silent = replace(network.projections[2], op=Dense(np.zeros((5, 96))))
    out = replace(network.output, model=replace(network.output.model, bias=np.full(5, 0.3)))
    network = replace(
        network, populations=(*network.populations[:-1], out), projections=(*network.projections[:2], silent)
    )
    integer, report = quantize(network, weight_bits=4, method=method)
    model = integer.output.model
    got = model.bias.astype(float) * 2.0 ** (model.bias_exponent - 6) * report.layers[-1].scale
    assert got == pytest.approx(0.3, abs=1 / 64 / model.threshold)
    assert report.layers[-1].weight_error == 0


@pytest.mark.parametrize("method", sorted(METHODS))
def test_requantizing_the_same_network_changes_nothing(method: str) -> None:
    network = chain()
    integer, report = quantize(network, weight_bits=4, input_bits=5, method=method)
    again, same = requantize(network, integer, report)
    assert again.fingerprint() == integer.fingerprint()
    assert same == report


def test_numpy_and_torch_round_alike() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 3, 5000), np.arange(-40, 41) / 2, [0.1 * k for k in range(100)]])
    for step in (1.0, 0.1, 1 / 3, float(rng.random())):
        made = integers(torch.from_numpy(values), torch.tensor(step, dtype=torch.float64), 7)
        np.testing.assert_array_equal(made.numpy(), integers(values, step, 7))
    assert integers(np.array([0.5, 1.5, -2.5, 9.0, -9.0]), 1.0, 7).tolist() == [0, 2, -2, 7, -7]


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no quantization method 'best'"):
        quantize(chain(), method="best")
