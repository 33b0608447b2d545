"""The method that counts changed spikes: outliers are clipped where that keeps more, rounding makes good its errors."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.export.quantization.compensated import compensated
from kdsnn.export.quantization.observed import Observer
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Dense, Network, Projection
from kdsnn.network.overflow import overflows
from kdsnn.targets.reference import simulate
from tests.export.quantization.test_exact_grids import layer
from tests.export.quantization.test_quantize import chain, images
from tests.oracles import simulate_float


def changed(network: Network, integer: Network, x: np.ndarray) -> float:
    exact, made = simulate_float(network, x), simulate(integer, x)[0]
    return float(np.mean([(train != made[name]).mean() for name, train in exact.items()]))


def test_one_weight_far_larger_than_all_others_does_not_round_them_away() -> None:
    rng = np.random.default_rng(2)
    weight = rng.normal(0, 0.1, (10, 40)) / 255
    weight[3, 7] = 300 / 255
    network = layer(Dense(weight), 1.0, 8, (40,))
    seen, unseen = ((rng.random((100, 40)) < 0.5).astype(np.uint8) * 255 for _ in range(2))
    plain, lost = quantize(network, calibration=seen, method="max")
    made, report = quantize(network, calibration=seen, method="spikes")
    assert lost.layers[0].weight_error < 0.01  # the ratio of norms sees nothing
    assert changed(network, plain, unseen) > 0.08
    assert changed(network, made, unseen) < 0.025
    assert report.layers[0].clipped == 1 / 400
    assert overflows(made) == {}


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_fewer_spikes_change_than_by_the_other_methods_on_other_images(bits: int) -> None:
    network, x, unseen = chain(), images(64, seed=4), images(200, seed=5)
    by = {
        m: changed(network, quantize(network, weight_bits=bits, input_bits=8, calibration=x, method=m)[0], unseen)
        for m in ("max", "percentile", "mse", "spikes")
    }
    assert by["spikes"] < (0.95 if bits < 8 else 1.0) * min(by["max"], by["percentile"], by["mse"]), by


def test_without_images_it_is_the_largest_weight() -> None:
    assert quantize(chain(), method="spikes")[0].fingerprint() == quantize(chain())[0].fingerprint()


def test_binary_images_need_one_bit_and_others_more() -> None:
    x = images()
    binary = np.where(x > 100, 255, 0).astype(np.uint8)
    quarters = (x >> 6).astype(np.uint8) * 85
    assert quantize(chain(), calibration=binary)[1].input_bits == 1
    assert quantize(chain(), calibration=quarters)[1].input_bits == 2
    assert [t.bits for t in quantize(chain(), calibration=x)[1].input_trials] == [8, 7, 6, 5, 4]


def test_what_is_observed_is_what_the_float_network_does() -> None:
    """At the float network's own weights, in whole numbers, the error is zero; with the signs turned it is not."""
    whole = np.random.default_rng(6).integers(-3, 4, (5, 96)).astype(float)
    network = chain()
    network = replace(network, projections=(*network.projections[:2], Projection("pool", "out", Dense(whole))))
    observer = Observer(network, images())
    integer, report = quantize(network, input_bits=8)
    out = observer.of(network.output, 8)
    assert out.error(integer.output, integer.incoming("out"), report.layers[-1].scale) == 0
    turned = replace(integer.incoming("out")[0], op=Dense(-integer.incoming("out")[0].op.weight))
    assert out.error(integer.output, [turned], report.layers[-1].scale) > 0.1


def test_an_integrators_error_is_that_of_its_potential() -> None:
    network = chain()
    reading = replace(network.output, model=replace(network.output.model, threshold=np.inf, fires=False))
    network = replace(network, populations=(*network.populations[:-1], reading))
    integer, report = quantize(network, weight_bits=4, calibration=images(64, seed=4), method="spikes")
    plain, coarse = quantize(network, weight_bits=4, calibration=images(64, seed=4), method="max")

    def error(made: Network, scale: float) -> float:
        x = images(100, seed=5)
        feeding = simulate_float(network, x)["pool"].sum(axis=1).reshape(100, -1)  # without leak the order is no matter
        exact = feeding @ network.projections[2].op.weight.T
        return float(
            np.abs(
                feeding @ made.projections[2].op.weight.T * 2.0 ** made.projections[2].exponent * scale - exact
            ).mean()
        )

    assert integer.output.model.threshold == 2**17 - 1
    assert error(integer, report.layers[-1].scale) < 0.8 * error(plain, coarse.layers[-1].scale)


def test_compensated_rounding_keeps_sums_of_what_comes_together() -> None:
    """Two inputs that always fire together: 0.4 + 0.4 is one, where plain rounding says zero."""
    taps = np.repeat((np.random.default_rng(0).random((1, 200, 1)) < 0.5).astype(np.float32), 2, axis=2)
    weight = np.array([[0.4, 0.4], [2.0, -1.0], [9.0, 0.2]])
    whole = compensated(weight, taps, 1.0, 7)
    assert whole[0].sum() == 1
    assert whole[1].tolist() == [2, -1]  # whole already
    assert sorted(whole[2]) == [2, 7]  # the clipped part goes over
    apart = np.eye(2, dtype=np.float32)[None]
    assert compensated(weight, apart, 1.0, 7).tolist() == [[0, 0], [2, -1], [7, 0]]


def inhibited(timesteps: int) -> Network:
    """Mostly inhibition: the longer it is shown, the lower the worst case."""
    rng = np.random.default_rng(8)
    network = chain(steps=timesteps)
    weight = rng.normal(-0.05, 0.2, (5, 96))
    return replace(network, projections=(*network.projections[:2], Projection("pool", "out", Dense(weight))))


def test_steps_take_no_bits_where_potentials_may_clip() -> None:
    x = images(16, seed=4)
    short, by_few = quantize(inhibited(4), calibration=x, method="spikes")
    long, by_many = quantize(inhibited(2000), calibration=x, method="spikes")
    plain, without = quantize(inhibited(2000), calibration=x, method="max")
    assert [layer.clips for layer in by_few.layers] == [False, False, False]
    assert by_many.layers[0].clips
    assert long.spiking[0].model.clips
    assert not plain.spiking[0].model.clips
    assert without.layers[0].largest_weight < 20
    assert by_many.layers[0].largest_weight > 90
    assert overflows(long) == overflows(short) == {}


def test_what_fits_at_no_scale_without_clipping_may_clip() -> None:
    network = inhibited(60_000)
    with_strong = replace(network.projections[2], op=Dense(network.projections[2].op.weight * 40))
    network = replace(network, projections=(*network.projections[:2], with_strong))
    integer, report = quantize(network)
    assert report.layers[-1].clips
    assert overflows(integer) == {}
