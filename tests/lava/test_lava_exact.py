"""Lava computes, spike for spike and count for count, what the reference computes."""

from __future__ import annotations

import numpy as np
import pytest
from lava_networks import everything, graded_dense, images, neurons

from kdsnn.network import Dense, Input, Network, Population, Projection
from kdsnn.targets.base import RunResult, ensure_runnable
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.reference import ReferenceTarget


def run(network: Network, batch: np.ndarray, *, stock_conv: bool = False) -> RunResult:
    target = LavaTarget(stock_conv=stock_conv)
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
    ("timesteps", "bits", "samples", "stock_conv"),
    [(4, 4, 5, False), (1, 3, 4, False), (2, 1, 3, False), (5, 7, 1, False), (4, 4, 2, True)],
)
def test_every_feature_is_exact(timesteps: int, bits: int, samples: int, stock_conv: bool) -> None:
    network = everything(timesteps=timesteps, bits=bits)
    batch = images(network, samples)
    result = run(network, batch, stock_conv=stock_conv)
    assert_same(network, batch, result)
    assert result.notes["fill_steps"] == 5
    assert result.notes["steps"] == samples * timesteps + 5
    if (timesteps, samples) == (4, 5):  # the network must be awake for the comparison to mean anything
        rates = {name: float(spikes.mean()) for name, spikes in result.spikes.items()}
        assert all(0.02 < rate < 0.98 for rate in rates.values()), rates


@pytest.mark.parametrize("shape", [(11,), (2, 3, 5)])
def test_graded_input_into_a_dense_projection_is_exact(shape: tuple[int, ...]) -> None:
    network = graded_dense(shape)
    batch = images(network, 4)
    assert_same(network, batch, run(network, batch))


def test_no_state_leaks_between_images() -> None:
    network = everything(timesteps=3, bits=5, seed=5)
    batch = images(network, 4)
    forward, backward = run(network, batch), run(network, batch[::-1])
    for name, spikes in forward.spikes.items():
        np.testing.assert_array_equal(spikes, backward.spikes[name][::-1], err_msg=name)


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
