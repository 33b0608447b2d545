"""Answers after each step and what stopping saves, against runs of the same network that end earlier."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import load_energy_model
from kdsnn.errors import UsageError, VerificationError
from kdsnn.evaluation import Curve, evaluate, on_targets
from kdsnn.evaluation.steps import COUNTED, Steps, answers_by_step, counts_by_step, joined_steps, steps_of
from kdsnn.evaluation.stopping import at_first_spike, by_margin, usual_margins
from kdsnn.network import Network, neuron_of
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget
from kdsnn.testing import example_networks, random_images
from tests.oracles import carried, fan_out, simulate_integer

NETWORKS = {network.name: network for network in example_networks()}
MANY = ["image", "leaky-integrator", "two-paths", "frames", "events", "leaky-subtract", "recurrent", "recurrent-events"]


def until(network: Network, images: np.ndarray, steps: int) -> tuple[Network, np.ndarray]:
    """The network and its images, as if they ended after so many steps."""
    return replace(network, timesteps=steps), images if network.static else images[:, :steps]


def counted(network: Network, images: np.ndarray) -> dict[str, int]:
    """What a run counts in all, synapse by synapse."""
    trains, _ = simulate_integer(network, images)
    found = dict.fromkeys(COUNTED, 0)
    found["spikes"] = sum(int(train.sum()) for train in trains.values())
    for projection in network.projections:
        graded = projection.source == "input" and network.input_bits > 1
        sent = carried(network, projection, images, trains)
        shape = network.population(projection.source).shape
        for name, zeros in zip(COUNTED[3:] if graded else COUNTED[1:3], (True, False), strict=True):
            found[name] += int((sent * fan_out(projection.op, shape, zero_weights=zeros)).sum())
    return found


@pytest.mark.parametrize("name", MANY)
def test_steps_add_up_to_runs_that_end_there(name: str) -> None:
    network = NETWORKS[name]
    images = random_images(network, 3)
    trains, _ = simulate_integer(network, images)
    counts = counts_by_step(network, images, trains)
    predictions, leads = answers_by_step(network, images, trains)
    for t in range(1, network.timesteps + 1):
        ended, shown = until(network, images, t)
        assert dict(zip(COUNTED, counts[:, :t].sum(axis=(0, 1)).tolist(), strict=True)) == counted(ended, shown)
        spikes, potentials = simulate_integer(ended, shown)
        scores = potentials if network.readout == "membrane" else spikes[network.output.name].sum(axis=1, dtype=int)
        assert np.array_equal(predictions[:, t - 1], scores.argmax(axis=1))
        for lead, row in zip(leads[:, t - 1], scores, strict=True):
            first, second = sorted(row.tolist(), reverse=True)[:2]
            assert lead == first - second


@pytest.mark.parametrize("name", ["recurrent-events", "leaky-integrator"])
def test_it_is_counted_in_parts_that_the_memory_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS[name]
    images = random_images(network, 7)
    trains, _ = simulate_integer(network, images)
    whole = counts_by_step(network, images, trains), *answers_by_step(network, images, trains)
    monkeypatch.setattr("kdsnn.evaluation.steps.AT_ONCE", 2 * network.timesteps * network.output.neurons)
    parts = counts_by_step(network, images, trains), *answers_by_step(network, images, trains)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_each_image_is_counted_by_itself() -> None:
    network = NETWORKS["recurrent"]
    images = random_images(network, 4)
    trains, _ = simulate_integer(network, images)
    counts = counts_by_step(network, images, trains)
    for image in range(4):
        alone = counted(network, images[image : image + 1])
        assert counts[image].sum(axis=0).tolist() == list(alone.values())


def test_an_image_stops_at_its_margin() -> None:
    predictions = np.array([[0, 1, 1, 1], [2, 2, 2, 2], [0, 0, 0, 1]], dtype=np.int32)
    leads = np.array([[0, 1, 2, 3], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=np.int32)
    stopped = by_margin(predictions, leads, 1)
    assert (stopped.steps.tolist(), stopped.predictions.tolist()) == ([2, 1, 4], [1, 2, 1])
    stopped = by_margin(predictions, leads, 2)
    assert (stopped.steps.tolist(), stopped.predictions.tolist()) == ([3, 4, 4], [1, 2, 1])


def test_the_first_spike_decides() -> None:
    trains = np.zeros((4, 3, 3), np.uint8)
    trains[0, 1, 2] = trains[0, 2, 0] = 1  # the later one is too late
    trains[1, 0, 1] = trains[1, 0, 2] = 1  # of two at once, the lowest class
    trains[2, 2, 1] = 1
    stopped = at_first_spike(trains)
    assert (stopped.steps.tolist(), stopped.predictions.tolist()) == ([2, 1, 3, 3], [2, 1, 1, 0])


def test_margins_worth_a_look() -> None:
    leads = np.array([[1, 9], [0, 2]], dtype=np.int32)
    assert usual_margins(leads, of_spikes=True) == [1, 2, 3, 4, 6, 8]
    assert usual_margins(np.zeros((2, 3), np.int32), of_spikes=True) == []
    last = np.arange(101, dtype=np.int32)[:, None] * 10
    assert usual_margins(last, of_spikes=False) == [100, 250, 500, 750, 900]


@pytest.mark.parametrize("name", ["two-paths", "recurrent-events", "leaky-integrator"])
def test_what_stopping_saves(name: str) -> None:
    """Each image counts what a run of it counts that ends where it stopped; and so does the energy."""
    network = NETWORKS[name]
    images = random_images(network, 6)
    labels = np.arange(6) % len(network.labels)
    found = evaluate(network, GpuTarget("cpu"), images, labels, curve=Curve((1, 2, 2**30))).in_time
    assert found is not None
    full = ReferenceTarget().compile(network).run(images)
    joules = estimate(load_energy_model("loihi1"), full.counts).dynamic_j_per_sample
    assert found.dynamic_j["loihi1"] == pytest.approx(joules)  # sums of the same numbers in another order
    stops = {stop.margin: stop for stop in found.stops}
    assert list(stops) == ([1, 2, 2**30, None] if network.readout == "rate" else [1, 2, 2**30])
    for margin in (1, 2):
        steps = by_margin(found.steps.predictions, found.steps.leads, margin).steps
        ends = [until(network, images[i : i + 1], int(t)) for i, t in enumerate(steps)]
        runs = [ReferenceTarget().compile(ended).run(shown) for ended, shown in ends]
        for field, value in stops[margin].counts.items():
            assert value == pytest.approx(sum(run.counts.total(field) for run in runs) / 6), field
        energies = [estimate(load_energy_model("loihi1"), run.counts).dynamic_j_per_sample for run in runs]
        assert stops[margin].dynamic_j["loihi1"] == pytest.approx(np.mean(energies))
        right = np.array([run.predictions[0] for run in runs])
        assert stops[margin].accuracy == (right == labels).mean()
        assert stops[margin].agreement == (right == full.predictions).mean()
        assert stops[margin].mean_steps == steps.mean()
    never = stops[2**30]
    assert (never.mean_steps, never.agreement) == (network.timesteps, 1.0)
    assert never.counts["synops_dense"] == pytest.approx(full.counts.total("synops_dense") / 6)
    assert "-0.00%" not in str(found)
    assert found.accuracies[-1] == (full.predictions == labels).mean()
    assert sum(found.counts["synops_dense"]) == pytest.approx(full.counts.total("synops_dense") / 6)


def test_in_chunks_and_without_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS["frames"]
    images = random_images(network, 7)
    whole = evaluate(network, ReferenceTarget(), images, curve=Curve())
    monkeypatch.setattr(on_targets, "MOST_SPIKES", 3 * network.timesteps * sum(p.neurons for p in network.populations))
    parts = evaluate(network, ReferenceTarget(), images, curve=Curve())
    assert whole.in_time is not None
    assert parts.in_time is not None
    assert whole.in_time.as_json() == parts.in_time.as_json()
    assert whole.as_json()["in_time"]["accuracy_by_step"] is None
    assert whole.arrays()["predictions_by_step"].shape == (7, network.timesteps)
    assert "answers in time" in str(whole)
    assert evaluate(network, ReferenceTarget(), images).in_time is None


def test_many_steps_are_shown_ever_farther_apart() -> None:
    frames = NETWORKS["frames"]
    clipping = [replace(p, model=replace(neuron_of(p), clips=True)) for p in frames.spiking]  # else it could overflow
    network = replace(frames, timesteps=200, populations=(frames.input, *clipping))
    shown = evaluate(network, ReferenceTarget(), random_images(network, 2), curve=Curve()).in_time
    assert shown is not None
    steps, *_ = shown.blocks()
    assert not isinstance(steps, str)
    rows = [row[0] for row in steps.rows]
    assert rows[:3] == [1, 2, 3]
    assert rows[-1] == 200
    assert len(rows) <= 16
    assert len(shown.agreements) == 200


@pytest.mark.parametrize("field", COUNTED)
def test_counts_that_the_spikes_do_not_make_are_refused(field: str) -> None:
    network = NETWORKS["image"]
    images = random_images(network, 3)
    result = ReferenceProgram(network).run(images, record="all")
    layers = list(result.counts.layers)
    layers[0] = replace(layers[0], **{field: getattr(layers[0], field) + 1})
    with pytest.raises(VerificationError, match=f"the spikes make {field} = "):
        steps_of(network, images, replace(result, counts=replace(result.counts, layers=tuple(layers))))


def test_another_answer_is_refused() -> None:
    network = NETWORKS["integrator"]
    images = random_images(network, 3)
    result = ReferenceProgram(network).run(images, record="all")
    with pytest.raises(VerificationError, match="the last step predict other classes"):
        steps_of(network, images, replace(result, predictions=(result.predictions + 1) % 5))


def test_a_margin_is_no_tie() -> None:
    with pytest.raises(UsageError, match="a margin is 1 at least, not 0"):
        Curve((2, 0))


def test_parts_are_joined_in_their_order() -> None:
    def made(value: int) -> Steps:
        answers: Any = np.full((2, 3), value, np.int32)
        return Steps(answers, answers + 1, np.full((2, 3, 5), value, np.int64))

    both = joined_steps([made(1), made(4)])
    assert both.predictions[:, 0].tolist() == [1, 1, 4, 4]
    assert both.leads[:, 0].tolist() == [2, 2, 5, 5]
    assert both.counts[:, 0, 0].tolist() == [1, 1, 4, 4]
