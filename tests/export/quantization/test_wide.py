"""Weights of more than 8 bits: two synapses carry one, exactly, and more of the float network's spikes are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import NetworkError, RecipeError, UsageError
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.export.quantization.quantize import quantize
from kdsnn.export.quantization.wide import largest_weight, shift_of, synapses
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection, neuron_of
from kdsnn.network.overflow import overflows
from kdsnn.network.widths import WIDEST
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.steps.post_training import section_with
from kdsnn.targets.registry import load_target
from kdsnn.testing import example_networks, random_images
from tests.export.quantization.test_quantize import chain, images
from tests.oracles import simulate_float, simulate_integer


def together(network: Network) -> dict[tuple[str, str], np.ndarray]:
    """The weight between every two populations, in weight units."""
    sums: dict[tuple[str, str], np.ndarray] = {}
    for p in network.projections:
        weight = p.op.weight.astype(np.int64) * 2**p.exponent
        sums[p.source, p.target] = sums.get((p.source, p.target), 0) + weight
    return sums


@pytest.mark.parametrize("bits", range(9, WIDEST + 1))
def test_high_and_low_bits_make_the_weight(bits: int) -> None:
    top = 2 ** (bits - 1) - 1
    assert (largest_weight(bits), shift_of(top)) == (top, bits - 8)
    weight = np.unique(np.linspace(-top, top, 4097).round().astype(np.int16))[None]
    high, low = synapses(Projection("a", "b", Dense(weight), 0), bits)
    assert (high.exponent, low.exponent, low.part, low.name) == (bits - 8, 0, 1, "a->b#1")
    for part in (high, low):
        assert np.abs(part.op.weight).max() <= 127
    np.testing.assert_array_equal(high.op.weight.astype(int) * 2 ** (bits - 8) + low.op.weight, weight)


def test_what_a_synapse_holds_stays_one() -> None:
    projection = Projection("a", "b", Dense(np.array([[127, -127, 3]], dtype=np.int16)), 2)
    assert synapses(projection, 12) == (projection,)
    assert shift_of(largest_weight(8)) == 0


def test_wide_weights_are_the_float_ones_more_closely_and_lose_fewer_spikes() -> None:
    network, shown = chain(seed=4, steps=8), images(60)
    wanted = simulate_float(network, shown)
    differ = {}
    for bits in (8, 12):
        integer, report = quantize(
            network, weight_bits=bits, input_bits=4, calibration=images(30, seed=9), method="spikes"
        )
        assert overflows(integer) == {}
        spikes, _ = simulate_integer(integer, shown & 0xF0 | shown >> 4)
        differ[bits] = np.mean(spikes["out"] != simulate_float(network, shown & 0xF0 | shown >> 4)["out"])
        for layer, projections in zip(report.layers, map(integer.incoming, ("if1", "pool", "out")), strict=True):
            weight = sum(p.op.weight.astype(np.float64) * 2**p.exponent for p in projections) * layer.scale
            gain = 255 / 15 if projections[0].source == "input" else 1
            exact = next(p.op.weight for p in network.incoming(layer.name)) * gain
            error = float(np.sqrt(np.sum((weight - exact) ** 2) / np.sum(exact**2)))
            assert error == pytest.approx(layer.weight_error, abs=1e-9)
    assert wanted["out"].any()
    assert differ[12] < differ[8] / 2


def test_every_target_and_the_file_compute_the_same(tmp_path: Path) -> None:
    network, _ = quantize(chain(seed=4), weight_bits=12, calibration=images(30), method="spikes")
    assert [p.name for p in network.projections].count("if1->pool") == 1  # an OR pool: ones
    assert "pool->out#1" in [p.name for p in network.projections]
    write_nir(network, tmp_path / "wide.nir")
    again = read_nir(tmp_path / "wide.nir")
    assert again.fingerprint() == network.fingerprint()
    assert again.fingerprint() != replace(network, projections=network.projections[:-1]).fingerprint()
    spikes, _ = simulate_integer(network, images(20))
    for name in ("reference", "gpu", "onnx"):
        found = load_target(name).compile(again).run(images(20), record="all").spikes
        for population, train in spikes.items():
            np.testing.assert_array_equal(found[population], train, err_msg=f"{name} {population}")


def test_the_bound_is_that_of_the_whole_weight() -> None:
    """High bits of 1472 and low bits of -30 are 1442 together, not 1472 up and 30 down."""
    (wide,) = [n for n in example_networks() if n.name == "wide"]
    assert overflows(wide) == {}
    high, low = wide.incoming("out")
    shape = high.op.weight.shape
    full = [
        replace(high, op=Dense(np.full(shape, 46, np.int16)), exponent=5),
        replace(low, op=Dense(np.full(shape, -30, np.int16))),
    ]
    first = wide.incoming("first")
    low_threshold = replace(wide.output, model=replace(neuron_of(wide.output), threshold=1000))
    populations = (*wide.populations[:-1], low_threshold)
    at = replace(wide, populations=populations, projections=(*first, *full))
    assert 90 * (46 * 32 - 30) + 1000 < 2**17 < 90 * 46 * 32  # what 90 spikes bring at once
    assert "out" not in overflows(at)
    beyond = replace(at, projections=(*first, full[0], replace(full[1], op=Dense(np.full(shape, -15, np.int16)))))
    assert "wraps at" in overflows(beyond)["out"]


def test_a_part_alone_or_twice_is_refused() -> None:
    (wide,) = [n for n in example_networks() if n.name == "wide"]
    high, low = wide.incoming("out")
    with pytest.raises(NetworkError, match=r"'first->out#1' is a part, and none before it is there"):
        replace(wide, projections=(*wide.incoming("first"), low))
    with pytest.raises(NetworkError, match=r"'first->out#1' is there twice"):
        replace(wide, projections=(*wide.incoming("first"), high, low, low))


def test_widths_that_there_are_not() -> None:
    with pytest.raises(RecipeError, match="weights of at most 8 bits, not 12"):
        load_recipe("digits-2conv", ["quantize.weight_bits=12", "quantize.qat.epochs=1"])
    for bits in (1, WIDEST + 1):
        said = f"weight_bits must be 2 to 15, not {bits}"
        with pytest.raises(RecipeError, match=said):
            load_recipe("digits-2conv", [f"quantize.weight_bits={bits}"])
        with pytest.raises(UsageError, match=said):
            section_with(QuantizeSection(), weight_bits=bits, input_bits=None, method=None, qat_epochs=None)


def test_parts_of_different_kernels_are_bounded_each_by_itself() -> None:
    """One pixel of inhibition does not outweigh what all nine bring."""
    (wide,) = [n for n in example_networks() if n.name == "wide"]
    first = list(wide.incoming("first"))
    first[0] = replace(first[0], op=replace(first[0].op, weight=np.full((3, 2, 3, 3), 57, np.int16)), exponent=7)
    first[1] = replace(first[1], op=Conv2d(np.full((3, 2, 1, 1), -127, np.int16)))
    assert 18 * (57 * 128 - 127) < 2**17 < 18 * 57 * 128
    assert "wraps at" in overflows(replace(wide, projections=(*first, *wide.incoming("out"))))["first"]


def test_weights_of_very_different_sizes_keep_to_the_exponents_there_are() -> None:
    """Two paths join, one with weights a hundred times those of the other."""
    rng = np.random.default_rng(3)
    silent = Neuron(1.0, np.zeros(6), decay_u=1.0)
    populations = (
        Population("input", (4,), Input(1)),
        Population("left", (1,), replace(silent, bias=np.zeros(1))),
        Population("right", (6,), silent),
        Population("out", (3,), Neuron(4.0, np.zeros(3), decay_u=1.0)),
    )
    projections = (
        Projection("input", "left", Dense(rng.normal(0, 0.6, (1, 4)) / 255)),
        Projection("input", "right", Dense(rng.normal(0, 0.6, (6, 4)) / 255)),
        Projection("left", "out", Dense(np.array([[3.5], [2.5], [-1.5]]))),
        Projection("right", "out", Dense(rng.normal(0, 0.01, (3, 6)))),
    )
    network = Network("paths", populations, projections, 5, ("a", "b", "c"), integer=False)
    shown = rng.integers(0, 2, (40, 4)).astype(np.uint8) * 255
    for method in ("max", "spikes"):
        integer, _ = quantize(network, weight_bits=15, calibration=shown, method=method)
        assert max(p.exponent for p in integer.projections) <= 7
        found, wanted = simulate_integer(integer, shown)[0], simulate_float(network, shown)
        assert wanted["out"].any()
        assert np.mean(found["out"] != wanted["out"]) < 0.01


def test_a_wide_weight_is_not_given_up_for_machines_that_cannot_clip() -> None:
    """At 8 bits a network that does not clip is worth a few spikes; who asks for more bits, asks for the spikes."""
    network, shown = chain(seed=4, steps=60), images(30)
    clips = {}
    for bits in (8, 13):
        _, report = quantize(network, weight_bits=bits, input_bits=4, calibration=shown, method="spikes")
        clips[bits] = [layer.clips for layer in report.layers]
    assert sum(clips[13]) > sum(clips[8])


@pytest.mark.parametrize("name", ["image", "leaky", "frames", "recurrent", "recurrent-events"])
def test_any_projection_can_have_a_second_part(name: str) -> None:
    (one,) = [n for n in example_networks() if n.name == name]
    rng = np.random.default_rng(0)
    low = [
        replace(p, op=replace(p.op, weight=rng.integers(-1, 2, p.op.weight.shape).astype(np.int16)), exponent=0, part=1)
        for p in one.projections
    ]
    network = replace(one, projections=(*one.projections, *low))
    shown = random_images(network, 12)
    spikes, _ = simulate_integer(network, shown)
    for target in ("reference", "gpu", "onnx"):
        result = load_target(target).compile(network).run(shown, record="all")
        for population, train in spikes.items():
            np.testing.assert_array_equal(result.spikes[population], train, err_msg=f"{target} {population}")
        assert result.counts == load_target("reference").compile(network).run(shown).counts
