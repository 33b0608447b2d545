"""What has a time of its own on Lava: inputs that change, spikes that take a part, populations that feed themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdsnn.evaluation import check_same
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.features import INPUT_IN_TIME, RECURRENCE, SUBTRACT_RESET
from kdsnn.targets.base import RunResult
from kdsnn.targets.fitting import ensure_runnable, violations
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import check_target, example_networks, random_images, random_network

RESETS = ("zero", "subtract", "none")


def run(network: Network, images: np.ndarray, **options: Any) -> RunResult:
    target = LavaTarget(**options)
    ensure_runnable(target, network)
    return target.compile(network).run(images, record="all", time_limit_s=120)


def test_no_example_network_is_refused() -> None:
    networks = example_networks()
    assert [violations(LavaTarget(), network) for network in networks] == [[]] * len(networks)
    in_time = [n for n in networks if n.features & {INPUT_IN_TIME, SUBTRACT_RESET, RECURRENCE}]
    assert len(check_target(LavaTarget(), in_time).passed) == len(in_time) >= 8


@pytest.mark.parametrize("seed", range(300, 306))
def test_random_networks_in_several_rounds(seed: int) -> None:
    """Two images side by side, so that spikes of an image's last step meet the first step of the next."""
    time = {"in_time": seed % 2 == 0, "reset": RESETS[seed % 3], "recurrent": seed % 5 < 3}
    network = random_network(seed, integrates=seed % 4 == 0, **time)
    images = random_images(network, 5, seed)
    check_same(run(network, images, lanes=2), ReferenceTarget().compile(network).run(images, record="all"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1060))
def test_many_random_networks_in_several_rounds(seed: int) -> None:
    test_random_networks_in_several_rounds(seed)


@pytest.mark.parametrize("options", [{"lanes": 1}, {"lanes": 2}, {"lanes": 3}, {"lanes": 1, "workers": 2}])
def test_an_echo_ends_with_its_image(options: dict[str, int]) -> None:
    """A neuron that a spike of the input wakes, and that keeps itself awake: by hand."""
    one = np.ones((1, 1), dtype=np.int64)
    populations = (Population("in", (1,), Input(1, static=False)), Population("loop", (1,), plain(0)))
    projections = (Projection("in", "loop", Dense(one)), Projection("loop", "loop", Dense(one)))
    network = Network("loop", populations, projections, 3, ("only",), integer=True)
    frames = np.array([[0, 0, 255], [0, 0, 0], [255, 0, 0], [0, 0, 0], [0, 255, 0]], dtype=np.uint8)
    result = run(network, frames[..., None], **options)
    assert result.spikes["loop"][..., 0].tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 1]]
    (loop,) = result.counts.layers
    assert (loop.spikes, loop.neuron_updates) == (6, 15)
    assert loop.synops_dense == 3 + 3  # of three spikes of the input; one of each echo's last spike goes nowhere


def plain(threshold: int, neurons: int = 1, **fields: Any) -> Neuron:
    return Neuron(threshold, np.zeros(neurons, dtype=np.int64), **fields)


@pytest.mark.parametrize(
    ("reset_by", "spikes"),
    [(None, [1, 0, 1, 0, 0]), (64 * 3, [1, 1, 1, 0, 0]), (64 * 5, [1, 0, 1, 0, 0]), (0, [1, 1, 1, 1, 1])],
)
def test_what_a_spike_takes(reset_by: int | None, spikes: list[int]) -> None:
    """Five weight units at steps 0 and 2, threshold 2, nothing else: by hand."""
    populations = (Population("in", (1,), Input(1, static=False)), Population("out", (1,), plain(1, reset_by=reset_by)))
    projections = (Projection("in", "out", Dense(np.array([[5]]))),)
    network = Network("taken", populations, projections, 5, ("only",), integer=True)
    frames = np.array([[255, 0, 255, 0, 0]] * 2, dtype=np.uint8)
    assert run(network, frames[..., None], lanes=1).spikes["out"][..., 0].tolist() == [spikes] * 2


def test_frames_are_sent_by_stock_models_too() -> None:
    (network,) = (n for n in example_networks() if n.name == "events")
    images = random_images(network, 3)
    check_same(run(network, images, stock=True), ReferenceTarget().compile(network).run(images, record="all"))


def test_stock_models_refuse_what_they_cannot_do() -> None:
    network = next(n for n in example_networks() if n.name == "recurrent-events")
    found = LavaTarget(stock=True).check(network)
    assert {v.where for v in found} == {p.name for p in network.spiking if "layer" in p.name} | {
        p.name for p in network.projections if p.recurrent
    }
    assert "no other reset" in found[0].what
    assert "stock models" in found[-1].what
    assert LavaTarget().check(network) == []


def test_a_long_run_takes_no_more_memory() -> None:
    """Where all is recorded: 64 MB of spikes and 8 MB of frames at T = 1,000."""

    def memory(timesteps: int) -> float:
        populations = (
            Population("in", (1, 32, 32), Input(1, static=False)),
            Population("out", (8, 32, 32), plain(2, 8 * 32 * 32)),
        )
        weight = np.ones((8, 1, 1, 1), dtype=np.int64)
        projections = (Projection("in", "out", Conv2d(weight)),)
        labels = tuple(map(str, range(8 * 32 * 32)))
        network = Network("long", populations, projections, timesteps, labels, integer=True)
        return run(network, random_images(network, 8), lanes=8).notes["memory_mib"]

    assert memory(1000) < 1.2 * memory(50)
