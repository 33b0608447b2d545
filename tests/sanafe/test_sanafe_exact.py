"""SANA-FE computes the reference's spikes and counts, and where constants are the same, our model's energies."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import load_energy_model
from kdsnn.evaluation import check_same, evaluate
from kdsnn.network import NEVER, Dense, Input, Network, Neuron, Population, Projection, neuron_of
from kdsnn.network.features import RECURRENCE
from kdsnn.network.overflow import overflows
from kdsnn.steps.deployment import deployment
from kdsnn.targets.base import RunResult
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.targets.registry import load_target
from kdsnn.targets.sanafe.adapter import SanafeTarget
from kdsnn.targets.sanafe.architecture import constants
from kdsnn.testing import check_target, example_networks, random_images, random_network, stimuli
from tests.currents import currents_with_biases

ROUNDING = 1e-6  # sums of up to millions of doubles


def traffic_of(network: Network, images: np.ndarray, result: RunResult) -> dict[str, float]:
    """Messages and hops of all images, as we count them from each neuron's spikes and where it lies; joules of hops."""
    chip = load_energy_model("loihi1").chip
    spikes = {name: train.sum(axis=(0, 1), dtype=np.int64).reshape(-1) for name, train in result.spikes.items()}
    found = deployment(network, chip, images, result.counts, spikes).traffic.values()
    east_west = len(images) * sum(each.hops_east_west for each in found)
    north_south = len(images) * sum(each.hops_north_south for each in found)
    return {
        "messages": len(images) * sum(each.messages for each in found),
        "hops": east_west + north_south,
        "energy_hops_j": east_west * constants().east_west[0] + north_south * constants().north_south[0],
    }


def check_energies(result: RunResult, traffic: dict[str, float]) -> None:
    """Synapses and somas cost what our model says of the same counts, and messages and hops are those that it finds.

    While the pipeline fills, SANA-FE sends what belongs to no image: nothing where no population is steady.
    """
    report = estimate(load_energy_model("loihi1"), result.counts)
    model = {name: joules * result.counts.samples for name, joules in report.parts.items()}
    somas = model["active neuron updates"] + model["inactive neuron updates"]
    assert result.notes["energy_synapse_j"] == pytest.approx(model["synaptic operations"], rel=ROUNDING)
    assert result.notes["energy_soma_j"] == pytest.approx(somas, rel=ROUNDING)
    for name, value in traffic.items():
        assert result.notes[name] == pytest.approx(value, rel=ROUNDING)
    messages = result.notes["messages"] * constants().message[0]
    assert result.notes["energy_messages_j"] == pytest.approx(messages, rel=ROUNDING)


def test_conformance(target: SanafeTarget) -> None:
    result = check_target(target)
    refused = ["clipping", "clipping-from-above", "wide"]
    assert list(result.passed) == [n.name for n in example_networks() if n.name not in refused]
    assert list(result.refused) == refused
    assert "first->out#1: holds one part of weights in two synapses" in result.refused.pop("wide")
    assert all("uses 'clipping'" in why for why in result.refused.values())
    assert "sanafe" not in sys.modules  # it runs in a process of its own


@pytest.mark.parametrize("seed", [0, 4, 7, 10, 35, 63])
def test_random_networks(target: SanafeTarget, seed: int) -> None:
    network = random_network(seed, leaky=seed % 3 == 1, integrates=seed % 2 == 0)
    images = stimuli(network, seed)
    result = target.compile(network).run(images, record="all")
    check_same(result, ReferenceTarget().compile(network).run(images, record="all"))
    assert not network.steady  # such a population would send while the pipeline fills
    check_energies(result, traffic_of(network, images, result))


@pytest.mark.parametrize("seed", range(700, 706))
def test_random_networks_in_time(target: SanafeTarget, seed: int) -> None:
    """Frames, other resets and echoes; those that are lost between images are messages that no count has."""
    reset = ("subtract", "none", "zero")[seed % 3]
    network = random_network(
        seed, in_time=seed % 2 == 0, reset=reset, recurrent=seed % 5 != 1, integrates=seed % 2 == 1
    )
    images = stimuli(network, seed)
    result = target.compile(network).run(images, record="all")
    check_same(result, ReferenceTarget().compile(network).run(images, record="all"))
    assert not network.steady
    check_energies(result, {} if RECURRENCE in network.features else traffic_of(network, images, result))


@pytest.mark.parametrize("quarters", [1, 5])
def test_a_spike_may_take_any_amount(target: SanafeTarget, quarters: int) -> None:
    """SANA-FE's takes the threshold by itself; here it takes a quarter, or a quarter more, and an odd 64th."""
    network = next(n for n in example_networks() if n.name == "leaky-subtract")
    changed = [network.input]
    for population in network.spiking:
        neuron = neuron_of(population)
        by = None if neuron.reset_by is None else neuron.reset_by * quarters // 4 + 1
        changed.append(replace(population, model=replace(neuron, reset_by=by)))
    other = replace(network, populations=tuple(changed))
    images = stimuli(other)
    wanted = ReferenceTarget().compile(other).run(images, record="all")
    check_same(target.compile(other).run(images, record="all"), wanted)
    assert wanted.counts != ReferenceTarget().compile(network).run(images).counts


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_many_random_networks(target: SanafeTarget, seed: int) -> None:
    test_random_networks(target, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1040))
def test_many_random_networks_in_time(target: SanafeTarget, seed: int) -> None:
    test_random_networks_in_time(target, seed)


def test_currents_with_biases(target: SanafeTarget) -> None:
    """They come from steady populations, which stand beside the pipeline, in the first layer and in the last."""
    network, test = currents_with_biases()
    assert len(network.steady) == 3
    result = evaluate(network, target, test.images[:8], test.labels[:8])
    assert result.compared == tuple(p.name for p in network.spiking)
    assert all(layer.spikes > 0 for layer in result.counts.layers)


@pytest.mark.parametrize(("decay_u", "decay_v"), [(4096, 0), (1, 1), (4095, 4095), (4096, 4096)])
def test_the_largest_values(target: SanafeTarget, decay_u: int, decay_v: int) -> None:
    """Single precision, in which SANA-FE's Python takes values, must still hold them, up to the range of the state."""
    network = large(decay_u, decay_v)
    images = stimuli(network)
    result = target.compile(network).run(images, record="all")
    check_same(result, ReferenceTarget().compile(network).run(images, record="all"))
    assert result.potentials is not None
    assert np.abs(result.potentials).max() > 2**19


def large(decay_u: int, decay_v: int) -> Network:
    """Odd weights, halved until no image can leave the range, and the largest biases."""
    rng = np.random.default_rng(5)
    weight = rng.integers(-127, 128, (9, 12))
    while True:
        neuron = Neuron(2000, rng.integers(-4096, 4096, 9), 7, decay_u, decay_v)
        last = replace(neuron, threshold=NEVER, fires=False)
        populations = (
            Population("in", (12, 1, 1), Input(8)),
            Population("a", (9,), neuron),
            Population("b", (9,), last),
        )
        projections = (
            Projection("in", "a", Dense(weight)),
            Projection("a", "b", Dense(rng.integers(-127, 128, (9, 9))), 5),
        )
        made = Network("large", populations, projections, 3, tuple("012345678"), integer=True)
        if not overflows(made):
            return made
        weight = weight >> 1


def test_a_dark_image_sends_nothing_and_leaves_nothing(target: SanafeTarget) -> None:
    network = without_biases(example_networks()[0])
    images = stimuli(network)
    result = target.compile(network).run(images, record="all")
    first = result.spikes[network.spiking[0].name]
    assert first[:-1].any()
    assert not first[-1].any()
    dark = target.compile(network).run(images[-1:])
    assert dark.counts.total("input_macs") == dark.counts.total("spikes") == 0
    assert dark.notes["messages"] == dark.notes["hops"] == dark.notes["energy_synapse_j"] == 0
    assert dark.notes["energy_soma_j"] == pytest.approx(
        dark.counts.total("neuron_updates") * constants().inactive[0], rel=ROUNDING
    )


def without_biases(network: Network) -> Network:
    populations = [network.input]
    for population in network.spiking:
        neuron = neuron_of(population)
        populations.append(replace(population, model=replace(neuron, bias=neuron.bias * 0)))
    return replace(network, populations=tuple(populations))


def test_latency_grows_with_time_steps_and_without_congestion_is_no_longer() -> None:
    network = example_networks()[0]
    images = random_images(network, 4)
    detailed, simple = (
        load_target("sanafe", {"timing": timing}).compile(network).run(images) for timing in ("detailed", "simple")
    )
    shorter = SanafeTarget().compile(replace(network, timesteps=network.timesteps - 1)).run(images)
    assert simple.counts == detailed.counts
    assert shorter.notes["simulated_s"] < detailed.notes["simulated_s"]
    assert 0 < simple.notes["simulated_s"] <= detailed.notes["simulated_s"]
    barriers = detailed.notes["steps"] * constants().synchronization_s(1)
    assert barriers < detailed.notes["simulated_s"] < detailed.notes["latency_s"]
    assert detailed.notes["steps"] == 4 * network.timesteps + network.depths[network.output.name]


def test_only_the_asked_spikes_come_back(target: SanafeTarget) -> None:
    network = example_networks()[1]
    seen: list[int] = []
    result = target.compile(network).run(random_images(network, 3), progress=seen.append)
    assert list(result.spikes) == [network.output.name]
    assert seen
    assert seen == sorted(seen)
    assert seen[-1] == 3
    assert set(result.versions) == {"sanafe", "numpy", "python"}
