"""Graphs drawn without constraints run spike for spike, or are refused by name: never silent, never a traceback."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.errors import LoweringError
from kdsnn.evaluation import check_same
from kdsnn.export.lowering.relays import balance
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Dense
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget
from tests.export.foreign.foreign_graphs import frames, images, read, simulate_graph
from tests.export.foreign.random_graphs import random_graph
from tests.oracles import simulate_float

SEEDS = 60


def test_nearly_all_of_them_fire_as_the_equations_do() -> None:
    rates: list[float] = []
    refused: list[str] = []
    matrices = 0
    for seed in range(SEEDS):
        graph = random_graph(seed)
        try:
            network = read(graph)
        except LoweringError as error:
            refused.append(str(error))
            continue
        pixels = images(network.input.shape, 4)
        wanted = simulate_graph(graph, pixels)
        made = simulate_float(network, pixels)[network.output.name].reshape(wanted.shape)
        assert np.array_equal(made, wanted), seed
        rates.append(wanted.mean())
        matrices += any(
            isinstance(p.op, Dense) and len(network.population(p.source).shape) == 3 for p in network.projections[:-1]
        )
    assert len(refused) <= SEEDS - 50
    assert all(reason.startswith("node '") for reason in refused)
    assert sum(0.02 < rate < 0.98 for rate in rates) > 45, "silent nets show nothing"
    assert matrices > 10, "maps that no convolution says were among them"


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_those_that_feed_themselves_do_so_with_every_reset(reset: str) -> None:
    rates: list[float] = []
    refused: list[str] = []
    recurrent = 0
    for seed in range(SEEDS // 2):
        graph, in_time = random_graph(seed, loops=0.5), seed % 2 == 0
        try:
            network = read(graph, writer="by-hand", reset=reset, in_time=in_time)
        except LoweringError as error:
            refused.append(str(error))
            continue
        shape = network.input.shape
        pixels = frames(shape, 4) if in_time else images(shape, 4)
        wanted = simulate_graph(graph, pixels, reset=reset, in_time=in_time)
        made = simulate_float(network, pixels)[network.output.name].reshape(wanted.shape)
        assert np.array_equal(made, wanted), seed
        assert ("recurrence" in network.features) == any(p.recurrent for p in network.projections)
        recurrent += "recurrence" in network.features
        rates.append(wanted.mean())
    assert all(reason.startswith("node '") for reason in refused)
    assert recurrent > SEEDS // 4
    assert sum(0.02 < rate < 0.98 for rate in rates) > SEEDS // 4


@pytest.mark.parametrize("seed", range(0, SEEDS, 5))
def test_quantized_they_run_and_come_back_from_our_files(seed: int, tmp_path: Path) -> None:
    reset, in_time = (("zero", "subtract", "none")[seed % 3], seed % 2 == 0) if seed >= SEEDS // 2 else ("zero", False)
    network = read(random_graph(seed, loops=0.5 * (seed >= SEEDS // 2)), writer="by-hand", reset=reset, in_time=in_time)
    shown = frames if in_time else images
    integer, _ = quantize(balance(network), calibration=shown(network.input.shape, 8))
    pixels = shown(integer.input.shape, 4)
    check_same(*(t.compile(integer).run(pixels, record="all") for t in (GpuTarget("cpu"), ReferenceTarget())))
    write_nir(integer, tmp_path / "m.nir")
    assert read_nir(tmp_path / "m.nir").fingerprint() == integer.fingerprint()
