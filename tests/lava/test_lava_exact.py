"""Lava computes, spike for spike and count for count, what the reference computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lava_networks import everything, graded_dense, images, neurons

from kdsnn.network import Dense, Input, Network, Population, Projection
from kdsnn.targets.base import RunResult
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.reference import ReferenceTarget


def run(network: Network, batch: np.ndarray, **options: Any) -> RunResult:
    target = LavaTarget(**options)
    ensure_runnable(target, network)
    return target.compile(network).run(batch, record="all", time_limit_s=120)


def assert_same(network: Network, batch: np.ndarray, result: RunResult) -> None:
    expected = ReferenceTarget().compile(network).run(batch, record="all")
    for name, spikes in expected.spikes.items():
        np.testing.assert_array_equal(result.spikes[name], spikes, err_msg=name)
        assert result.spikes[name].dtype == np.uint8
    assert set(result.spikes) == set(expected.spikes)
    assert result.counts == expected.counts
    np.testing.assert_array_equal(result.predictions, expected.predictions)
    assert result.fingerprint == network.fingerprint()


@pytest.mark.parametrize(
    ("timesteps", "bits", "samples", "options", "rounds"),
    [
        (4, 4, 5, {}, 1),
        (4, 4, 5, {"lanes": 1}, 5),
        (1, 3, 7, {"lanes": 3}, 3),  # the last round shows one image
        (2, 1, 3, {"lanes": 2}, 2),
        (5, 7, 1, {}, 1),
        (4, 4, 2, {"stock": True}, 2),
        (2, 4, 3, {"stock": True, "lanes": 4}, 3),  # the stock models have no lanes
    ],
)
def test_every_feature_is_exact(timesteps: int, bits: int, samples: int, options: dict[str, Any], rounds: int) -> None:
    network = everything(timesteps=timesteps, bits=bits)
    batch = images(network, samples)
    result = run(network, batch, **options)
    assert_same(network, batch, result)
    assert result.notes["fill_steps"] == 5
    assert result.notes["steps"] == rounds * timesteps + 5
    assert result.notes["lanes"] == -(-samples // rounds)
    if (timesteps, samples) == (4, 5):  # the network must be awake for the comparison to mean anything
        rates = {name: float(spikes.mean()) for name, spikes in result.spikes.items()}
        assert all(0.02 < rate < 0.98 for rate in rates.values()), rates


@pytest.mark.parametrize("shape", [(11,), (2, 3, 5)])
def test_graded_input_into_a_dense_projection_is_exact(shape: tuple[int, ...]) -> None:
    network = graded_dense(shape)
    batch = images(network, 4)
    assert_same(network, batch, run(network, batch, lanes=2))


@pytest.mark.parametrize("lanes", [1, 2])
def test_no_state_leaks_between_images(lanes: int) -> None:
    network = everything(timesteps=3, bits=5, seed=5)
    batch = images(network, 4)
    forward, backward = run(network, batch, lanes=lanes), run(network, batch[::-1], lanes=lanes)
    for name, spikes in forward.spikes.items():
        np.testing.assert_array_equal(spikes, backward.spikes[name][::-1], err_msg=name)


def test_the_number_of_workers_changes_no_spike_and_no_count() -> None:
    network = everything(timesteps=2, bits=4)
    batch = images(network, 8)
    done: list[int] = []
    one, three = (run(network, batch, workers=n, lanes=2) for n in (1, 3))
    assert_same(network, batch, one)
    for name, spikes in one.spikes.items():
        np.testing.assert_array_equal(three.spikes[name], spikes, err_msg=name)
    np.testing.assert_array_equal(three.predictions, one.predictions)
    assert three.counts == one.counts
    assert (one.notes["workers"], three.notes["workers"]) == (1, 3)
    assert three.notes["processes"] == 3 * one.notes["processes"]
    assert three.notes["memory_mib"] > one.notes["memory_mib"] > one.notes["peak_process_mib"] / 2 > 20

    few = LavaTarget(workers=4).compile(network).run(batch[:2], progress=done.append)
    assert few.notes["workers"] == 2  # one image each
    np.testing.assert_array_equal(few.spikes["out"], one.spikes["out"][:2])
    assert done[-1] == 2


def test_counts_are_those_counted_by_hand() -> None:
    weight = np.array([[1, 0, 3], [0, 0, 5]], dtype=np.int16)
    network = Network(
        "by hand",
        (Population("in", (3,), Input(1)), neurons("hidden", (2,), 2), neurons("out", (1,), 0)),
        (
            Projection("in", "hidden", Dense(weight)),
            Projection("hidden", "out", Dense(np.array([[0, 1]], dtype=np.int16))),
        ),
        2,
        ("only",),
        True,
    )
    batch = np.array([[255, 255, 0], [0, 128, 128]], dtype=np.uint8)
    hidden, out = run(network, batch).counts.layers
    # image 0: inputs 0 and 1 spike twice; neuron 0 sums 1 a step and never passes 2
    # image 1: inputs 1 and 2 spike twice; both neurons get 3 and 5, and fire at both steps
    assert (hidden.synops_dense, hidden.synops_effective, hidden.input_macs) == (8 + 8, 2 + 4, 0)
    assert (hidden.spikes, hidden.neuron_updates) == (4, 2 * 2 * 2)
    assert (out.synops_dense, out.synops_effective) == (4, 2)
    assert (out.spikes, out.kind) == (2, "dense")


def test_grey_levels_at_weights_of_zero_are_counted_apart() -> None:
    weight = np.array([[1, 0, 3], [0, 0, 5]], dtype=np.int16)
    network = Network(
        "grey",
        (Population("in", (3,), Input(8)), neurons("out", (2,), 1000)),
        (Projection("in", "out", Dense(weight)),),
        3,
        ("a", "b"),
        True,
    )
    (out,) = run(network, np.array([[9, 9, 0], [0, 1, 200]], dtype=np.uint8)).counts.layers
    # image 0: pixels 0 and 1 reach 2 synapses each, of which 1 and 0 have a weight; image 1: pixels 1 and 2, 0 and 2
    assert (out.input_macs, out.input_macs_effective) == (3 * (4 + 4), 3 * (1 + 2))
    assert (out.synops_dense, out.synops_effective) == (0, 0)


def test_only_the_output_is_recorded_unless_all_is_asked_for() -> None:
    network = everything(timesteps=2, bits=4)
    batch = images(network, 6)
    done: list[int] = []
    result = LavaTarget().compile(network).run(batch, progress=done.append)
    assert set(result.spikes) == {"out"}
    assert result.counts == ReferenceTarget().compile(network).run(batch).counts
    assert done == sorted(set(done))
    assert done[-1] == 6
    assert result.versions["lava-nc"] == "0.10.0"
    assert result.versions["python"].startswith("3.10.")
