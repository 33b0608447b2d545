"""Networks in time, quantized: resets by subtraction or none, own spikes a step later, frames that change."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import NetworkError
from kdsnn.export.quantization.observed import Observer
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import HIGHEST, LOWEST, Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.overflow import overflows
from tests.oracles import simulate_float, simulate_integer

STEP = float(np.float32(0.37))  # of weights on a grid
T = 20


def frames(shape: tuple[int, ...], n: int = 30, steps: int = T, seed: int = 0) -> np.ndarray:
    return ((np.random.default_rng(seed).random((n, steps, *shape)) < 0.4) * 255).astype(np.uint8)


def network(
    op: Conv2d | Dense,
    theta: float,
    reset_by: float | None,
    *,
    own: Conv2d | Dense | None = None,
    source: tuple[int, ...] = (2, 6, 6),
    static: bool = False,
    decay: float = 0.0,
    steps: int = T,
) -> Network:
    """One population that sees pixels, and perhaps itself."""
    shape = op.output_shape(source)
    neurons = int(np.prod(shape))
    out = Population("out", shape, Neuron(theta, np.zeros(neurons), decay_u=1.0, decay_v=decay, reset_by=reset_by))
    projections = [Projection("in", "out", op), *([Projection("out", "out", own)] if own is not None else [])]
    populations = (Population("in", source, Input(8, static)), out)
    return Network("net", populations, tuple(projections), steps, tuple(map(str, range(neurons))), integer=False)


def whole(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Weights on the grid."""
    return np.random.default_rng(seed).integers(-2, 3, shape) * STEP


def differing(net: Network, integer: Network, images: np.ndarray) -> float:
    exact, made = simulate_float(net, images)["out"], simulate_integer(integer, images)[0]["out"]
    assert 0.02 < exact.mean() < 0.95
    return float((exact != made).mean())


@pytest.mark.parametrize("method", ["spikes", "max"])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("taken", [0, 1, 2, 5, 2.5])
@pytest.mark.parametrize("ties", [False, True])
def test_on_a_grid_a_spike_takes_exactly_what_it_takes(taken: float, static: bool, ties: bool, method: str) -> None:
    """In halves of a weight, too; and where neurons fire on the threshold, which is then one integer lower."""
    theta = np.nextafter(2 * STEP, 0) if ties else 2 * STEP
    own = Conv2d(whole((3, 3, 3, 3), 2), padding=(1, 1))
    net = network(Conv2d(whole((3, 2, 3, 3)) / 255, padding=(1, 1)), theta, taken * STEP, own=own, static=static)
    shown = frames((2, 6, 6))[:, 0] if static else frames((2, 6, 6))
    integer, report = quantize(net, input_bits=1, calibration=shown, method=method)
    assert report.layers[0].limited_by == "exact"
    assert overflows(integer) == {}
    assert integer.static == static
    model, scale = integer.output.model, report.layers[0].scale
    assert model.reset_by * scale == pytest.approx(64 * taken * STEP, rel=1e-12)
    assert differing(net, integer, shown) == 0


@pytest.mark.parametrize("share", [1.0, 1 / 0.9, 0.0])
def test_what_a_spike_takes_goes_with_the_threshold(share: float) -> None:
    rng = np.random.default_rng(3)
    net = network(Dense(rng.normal(0, 0.3, (8, 40)) / 255), 0.8, 0.8 * share, source=(40,), decay=0.1)
    for method in ("max", "mse", "percentile", "spikes"):
        integer, report = quantize(net, input_bits=1, calibration=frames((40,)), method=method)
        model = integer.output.model
        assert model.reset_by == round(64 * model.threshold * share)
        assert report.layers[0].threshold == model.threshold
        assert overflows(integer) == {}
        assert differing(net, integer, frames((40,), seed=9)) < 0.07


def test_without_a_reset_a_potential_clips_at_both_ends_rather_than_lose_its_weights() -> None:
    rng = np.random.default_rng(4)
    weight = rng.normal(0, 1, (8, 40))
    weight[:3] = abs(weight[:3])  # these climb to the upper end
    weight[3:6] = -abs(weight[3:6])
    net = network(Dense(weight / 255), 30.0, 0.0, source=(40,), steps=1000)
    shown = frames((40,), 6, 1000)
    integer, report = quantize(net, input_bits=1, calibration=shown, method="spikes")
    assert integer.output.model.clips
    assert report.layers[0].largest_weight > 60
    reached: list[tuple[int, int]] = []
    simulate_integer(integer, shown, watch=lambda _n, _u, v: reached.append((int(v.min()), int(v.max()))))
    assert min(low for low, _ in reached) < LOWEST or max(high for _, high in reached) > HIGHEST
    assert differing(net, integer, frames((40,), 6, 1000, 9)) < 0.02


@pytest.mark.parametrize("reset_by", [None, 1.0, 0.0])
def test_what_is_observed_is_what_the_network_does(reset_by: float | None) -> None:
    """The error of a population that fires as the float network does is zero, and of another it is counted."""
    own = Dense(whole((12, 12), 5))
    net = network(Dense(whole((12, 40)) / 255), 2.5 * STEP, reset_by and 3 * STEP, own=own, source=(40,))
    shown = frames((40,), 8)
    integer, report = quantize(net, input_bits=1, calibration=shown, method="max")
    assert differing(net, integer, shown) == 0
    observed = Observer(net, shown).of(net.output, 1)
    incoming, scale = integer.incoming("out"), report.layers[0].scale
    assert observed.error(integer.output, incoming, scale) == 0
    silent = [p if not p.recurrent else replace(p, op=Dense(np.zeros_like(p.op.weight))) for p in incoming]
    other = replace(integer, projections=tuple(silent))
    assert observed.error(integer.output, silent, scale) > 0
    assert differing(net, other, shown) > 0


def test_recurrent_weights_are_rounded_at_the_scale_of_the_others() -> None:
    rng = np.random.default_rng(6)
    op, own = Conv2d(rng.normal(0, 0.4, (3, 2, 3, 3)) / 255, padding=(1, 1)), Conv2d(rng.normal(0, 3, (3, 3, 1, 1)))
    net = network(op, 1.0, 1.0, own=own)
    integer, report = quantize(net, input_bits=1, calibration=frames((2, 6, 6)), method="spikes")
    assert [p.name for p in integer.projections] == ["in->out", "out->out"]
    for made, exact, gain in zip(integer.projections, net.projections, (255, 1), strict=True):
        error = made.op.weight * report.layers[0].scale * 2.0**made.exponent - exact.op.weight * gain
        assert np.sqrt((error**2).mean()) < 0.1 * np.sqrt(((exact.op.weight * gain) ** 2).mean())
    assert differing(net, integer, frames((2, 6, 6), seed=9)) < 0.12


def test_the_width_of_a_message_is_chosen_by_the_frames() -> None:
    net = network(Dense(np.random.default_rng(7).normal(0, 0.3, (8, 40)) / 255), 0.8, None, source=(40,))
    assert quantize(net, calibration=frames((40,)))[0].input_bits == 1
    grey = np.random.default_rng(8).integers(0, 256, (8, T, 40), dtype=np.uint8)
    integer, report = quantize(net, calibration=grey)
    assert integer.input_bits == min(report.input_trials, key=lambda trial: trial.drive_error).bits > 3


def test_a_spike_that_takes_more_than_a_potential_can_hold_fits_nowhere() -> None:
    net = network(Dense(np.ones((2, 40)) / 255), 1.0, 1e6, source=(40,))
    with pytest.raises(NetworkError, match="fits the hardware's state at no scale"):
        quantize(net, input_bits=1)


@pytest.mark.parametrize("taken", [2.5, 0.5])
def test_integers_of_which_a_spike_leaves_a_fraction(taken: float) -> None:
    """At a scale of one the threshold 2.75 would be 2, and a potential of 2.5 above it."""
    weight = np.random.default_rng(10).integers(-2, 3, (12, 40)).astype(float)
    net = network(Dense(weight / 255), 2.75, taken, source=(40,))
    integer, report = quantize(net, input_bits=1, calibration=frames((40,)), method="max")
    assert report.layers[0].limited_by == "exact"
    assert differing(net, integer, frames((40,))) == 0


def test_a_potential_that_is_observed_clips_at_both_ends() -> None:
    """Against a float network that never fires, the error is what the integer network fires, and its counts."""
    weight = np.where(np.arange(40) < 8, 127, -100)[None].repeat(2, axis=0)
    net = network(Dense(np.zeros((2, 40))), 1e9, 0.0, source=(40,))
    shown = np.zeros((1, T, 40), np.uint8)
    shown[:, :10, :8] = shown[:, 10:, 8:16] = 255  # up beyond the end for ten steps, then down
    neuron = Neuron(60_000, np.zeros(2, np.int32), decay_u=4096, clips=True, reset_by=0)
    incoming = Projection("in", "out", Dense(weight.astype(np.int16)), exponent=7)
    out = replace(net.output, model=neuron)
    integer = replace(
        net, populations=(Population("in", (40,), Input(1, False)), out), projections=(incoming,), integer=True
    )
    fired = simulate_integer(integer, shown)[0]["out"]
    assert 0 < fired.sum() < 20 * 2 - 10, "without the end it would come down later"
    assert Observer(net, shown).of(net.output, 1).error(out, [incoming], 1.0) == pytest.approx(2 * fired.mean())


@pytest.mark.parametrize(("outlier", "cut"), [(4.0, False), (60.0, True)])
def test_weights_are_cut_only_where_that_gains_much(outlier: float, cut: bool) -> None:
    """Of neurons that carry an error on; those that are reset to zero cut what changes the fewest spikes."""
    rng = np.random.default_rng(11)
    weight = rng.normal(0, 0.1, (10, 40))
    weight[3, 7] = outlier
    for reset_by in (0.8, None):
        net = network(Dense(weight / 255), 0.8, reset_by, source=(40,))
        integer, report = quantize(net, input_bits=1, calibration=frames((40,)), method="spikes")
        assert (report.layers[0].clipped > 0) == (cut or reset_by is None)
        assert differing(net, integer, frames((40,), seed=9)) < 0.07
