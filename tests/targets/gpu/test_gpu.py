"""The torch target computes the reference's spikes and counts, in batches of any size."""

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.errors import TimedOutError, UsageError
from kdsnn.evaluation import check_same
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.gpu.exact_products import int8_is_exact
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.targets.registry import load_target
from kdsnn.testing import check_target, example_networks, random_images, random_network
from tests.oracles import carried, fan_out, simulate_integer


def test_conformance_on_the_cpu() -> None:
    result = check_target(GpuTarget("cpu"))
    assert list(result.passed) == [n.name for n in example_networks()]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_conformance_on_a_gpu() -> None:
    result = check_target(GpuTarget("cuda"))
    assert list(result.passed) == [n.name for n in example_networks()]


KINDS = {
    "in_time": st.booleans(),
    "reset": st.sampled_from(["zero", "zero", "subtract", "none"]),
    "recurrent": st.booleans(),
}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.fixed_dictionaries(KINDS))
def test_random_networks(seed: int, kind: dict[str, Any]) -> None:
    network = random_network(seed, **kind)
    images = random_images(network, 5, seed)
    wanted = ReferenceTarget().compile(network).run(images, record="all")
    for arithmetic in ("auto", "float32"):
        result = GpuTarget("cpu", arithmetic).compile(network).run(images, record="all")
        check_same(result, wanted)


def test_int8_products_are_taken_where_they_are_exact() -> None:
    network = example_networks()[0]
    result = GpuTarget("cpu").compile(network).run(random_images(network, 2))
    assert result.versions["products"] == ("int8" if int8_is_exact() else "float32")


def test_a_cpu_that_saturates_takes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        pairs = (
            rows.int()[:, ::2, None] * matrix.int()[None, ::2] + rows.int()[:, 1::2, None] * matrix.int()[None, 1::2]
        )
        return pairs.clamp(-(2**15), 2**15 - 1).sum(dim=1, dtype=torch.int32)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    int8_is_exact.cache_clear()
    try:
        assert not int8_is_exact()
        network = example_networks()[0]
        assert GpuTarget("cpu").compile(network).versions["products"] == "float32"
        with pytest.raises(UsageError, match="not known to be exact on 'cpu'"):
            GpuTarget("cpu", "int8").compile(network)
    finally:
        int8_is_exact.cache_clear()


def test_what_was_left_to_the_machine_is_chosen_anew_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = copy.deepcopy(GpuTarget())  # the way of pickle, too
    monkeypatch.setattr("kdsnn.targets.gpu.program.int8_is_exact", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    program = chosen.compile(example_networks()[0])
    assert (program.versions["device"], program.versions["products"]) == ("cpu", "float32")


def test_there_is_no_other_arithmetic() -> None:
    with pytest.raises(UsageError, match=r"option 'arithmetic' of target 'gpu': .*'int8' or 'float32', not 'int4'"):
        load_target("gpu", {"arithmetic": "int4"})


def test_batches_do_not_change_the_result() -> None:
    network = example_networks()[0]
    images = random_images(network, 11)
    program = GpuTarget("cpu").compile(network)
    whole = program.run(images, record="all")
    program.batch = 4
    seen: list[int] = []
    check_same(program.run(images, record="all", progress=seen.append), whole)
    assert seen == [4, 8, 11]


@pytest.mark.parametrize("number", range(len(example_networks())))
def test_blocks_of_time_do_not_change_the_result(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = example_networks()[number]
    images = random_images(network, 60)  # enough for counts that no byte holds
    whole = GpuTarget("cpu").compile(network).run(images, record="all")
    for longest in (1, 3):
        monkeypatch.setattr("kdsnn.targets.gpu.program.LONGEST", longest)
        check_same(GpuTarget("cpu").compile(network).run(images, record="all"), whole)


@pytest.mark.parametrize("in_time", [False, True])
def test_a_batch_shrinks_with_time_until_the_blocks_are_full(in_time: bool) -> None:
    """And with the frames: the input is larger than all that hears it."""
    network = random_network(10, in_time=in_time)
    largest = network.input.neurons if in_time else max(p.neurons for p in network.spiking)
    assert network.input.neurons > max(p.neurons for p in network.spiking)
    for steps in (50, 1000):
        program = GpuTarget("cpu").compile(replace(network, timesteps=steps))
        assert 0.95 * 2**23 < program.batch * program.block * largest <= 2**23


def test_threads_can_share_a_program() -> None:
    network = example_networks()[0]
    program = GpuTarget("cpu").compile(network)
    images = [random_images(network, 40, seed) for seed in range(6)]
    alone = [program.run(some, record="all") for some in images]
    with ThreadPoolExecutor(3) as pool:
        for made, wanted in zip(pool.map(lambda some: program.run(some, record="all"), images), alone, strict=True):
            check_same(made, wanted)


def test_only_the_output_is_recorded_unless_asked() -> None:
    network = example_networks()[0]
    assert list(GpuTarget("cpu").compile(network).run(random_images(network, 2)).spikes) == [network.output.name]


def test_the_precision_setting_of_the_process_is_left_alone() -> None:
    network = example_networks()[0]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        images = random_images(network, 3)
        result = GpuTarget("cpu").compile(network).run(images, record="all")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    check_same(result, ReferenceTarget().compile(network).run(images, record="all"))


def test_a_missing_device_is_unavailable_not_an_exception() -> None:
    availability = GpuTarget("cuda:63").probe()
    assert not availability.available
    assert "--device cpu" in availability.hint


def test_time_limit() -> None:
    network = example_networks()[0]
    with pytest.raises(TimedOutError):
        GpuTarget("cpu").compile(network).run(random_images(network, 3), time_limit_s=0.0)


def test_predictions_take_the_lowest_class_on_a_tie() -> None:
    network = example_networks()[0]
    dark = np.zeros((1, *network.input.shape), np.uint8)
    result = GpuTarget("cpu").compile(network).run(dark)
    totals = result.spikes[network.output.name].sum(axis=1)[0]
    assert result.predictions[0] == int(np.flatnonzero(totals == totals.max())[0])


@pytest.mark.parametrize("threshold", [1, 2, 3, 7, 12, 60, 250, 1000])
def test_periods_of_neurons_that_come_exactly_to_their_threshold(threshold: int) -> None:
    """Every drive from 0 to 255 at once, for twelve steps: those that reach the threshold, and those that pass it."""
    neuron = Neuron(threshold, np.zeros(256, dtype=np.int64))
    populations = (
        Population("input", (1, 16, 16), Input(8)),
        Population("middle", (1, 16, 16), neuron),
        Population("out", (256,), Neuron(0, np.zeros(256, dtype=np.int64))),
    )
    projections = (
        Projection("input", "middle", Conv2d(np.ones((1, 1, 1, 1), dtype=np.int64))),
        Projection("middle", "out", Dense(np.eye(256, dtype=np.int64))),
    )
    network = Network("ramp", populations, projections, 12, tuple(map(str, range(256))), integer=True)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    wanted, _ = simulate_integer(network, ramp)
    found = GpuTarget("cpu").compile(network).run(ramp, record="all").spikes
    for name, train in wanted.items():
        np.testing.assert_array_equal(found[name], train)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.fixed_dictionaries(KINDS))
def test_counts_are_those_of_every_synapse(seed: int, kind: dict[str, Any]) -> None:
    """Its own counts, in torch, against an enumeration of synapses."""
    network = random_network(seed, **kind)
    images = random_images(network, 3, seed)
    result = GpuTarget("cpu").compile(network).run(images, record="all")
    for layer in result.counts.layers:
        counted = {"synops_dense": 0, "synops_effective": 0, "input_macs": 0, "input_macs_effective": 0}
        for projection in network.incoming(layer.name):
            source = network.population(projection.source)
            events = carried(network, projection, images, result.spikes)
            graded = source is network.input and network.input_bits > 1
            dense = "input_macs" if graded else "synops_dense"
            effective = "input_macs_effective" if graded else "synops_effective"
            counted[dense] += int((events * fan_out(projection.op, source.shape)).sum())
            counted[effective] += int((events * fan_out(projection.op, source.shape, zero_weights=False)).sum())
        assert {name: getattr(layer, name) for name in counted} == counted
        assert layer.spikes == result.spikes[layer.name].sum()
        assert layer.neuron_updates == layer.neurons * network.timesteps * 3
