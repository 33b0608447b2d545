"""A difference of one spike or one count fails, and says where."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import InputError, TargetUnavailableError, TimedOutError, VerificationError
from kdsnn.evaluation import Evaluation, check_same, evaluate, evaluate_each, on_targets
from kdsnn.network import Network
from kdsnn.targets.base import Computed, RunResult
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget
from kdsnn.testing import example_networks, random_images
from tests.oracles import simulate_integer


class Tampered(ReferenceTarget):
    """A target that is wrong in one place."""

    name = "tampered"

    def __init__(self, change: object) -> None:
        self.change = change

    def compile(self, network: Network) -> ReferenceProgram:
        change = self.change

        class Program(ReferenceProgram):
            def run(self, images: np.ndarray, **options: object) -> RunResult:
                return change(super().run(images, **options))

        return Program(network)


def flip(result: RunResult) -> RunResult:
    spikes = {name: train.copy() for name, train in result.spikes.items()}
    name = next(iter(spikes))
    spikes[name][2, 1, 0, 0, 3] ^= 1
    return replace(result, spikes=spikes)


def miscount(result: RunResult) -> RunResult:
    layers = list(result.counts.layers)
    layers[1] = replace(layers[1], synops_dense=layers[1].synops_dense + 1)
    return replace(result, counts=replace(result.counts, layers=tuple(layers)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip, "in 1 of .* spikes of population 'layer1': first in image 2, step 1, neuron \\(0, 0, 3\\)"),
        (miscount, "counted synops_dense = .* in layer"),
        (lambda r: replace(r, predictions=r.predictions + 1), "predicts other classes"),
        (lambda r: replace(r, fingerprint="0" * 64), "ran another network"),
        (lambda r: replace(r, spikes={}), "recorded no spikes of population 'layer1'"),
    ],
)
def test_one_difference_fails(change: object, message: str) -> None:
    network = example_networks()[0]
    with pytest.raises(VerificationError, match=message):
        evaluate(network, Tampered(change), random_images(network, 4))


@pytest.mark.parametrize("name", ["frames", "events", "recurrent-events"])
def test_an_evaluation_in_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the oracle; in chunks that the frames make smaller, for they lie in memory, too."""
    network = next(n for n in example_networks() if n.name == name)
    monkeypatch.setattr(on_targets, "MOST_SPIKES", 5 * network.timesteps * sum(p.neurons for p in network.populations))
    images = random_images(network, 13)
    trains, potentials = simulate_integer(network, images)
    done: list[int] = []
    found = evaluate(network, GpuTarget("cpu"), images, np.zeros(13, np.int64), progress=done.append)
    assert done == [5, 10, 13]
    assert found.output_spikes.shape == (13, network.timesteps, 5)
    assert np.array_equal(found.output_spikes, trains[network.output.name])
    for population in network.spiking:
        wanted = trains[population.name].sum(axis=1, dtype=np.int64).reshape(13, -1)
        assert np.array_equal(found.spike_totals[population.name], wanted)
    scores = potentials if network.readout == "membrane" else trains[network.output.name].sum(axis=1, dtype=np.int64)
    assert np.array_equal(found.predictions, scores.argmax(axis=1))
    assert found.as_json()["timesteps"] == network.timesteps


def test_memory_holds_fewer_images_of_more_steps() -> None:
    network = next(n for n in example_networks() if n.name == "frames")
    longer = replace(network, timesteps=100 * network.timesteps)
    assert on_targets.most_images(longer) == on_targets.most_images(network) // 100
    wide = replace(longer, timesteps=2**16 - 1)
    assert ReferenceProgram(network).batch == 32
    assert ReferenceProgram(wide).batch * wide.timesteps * sum(p.neurons for p in wide.populations) <= 2**25


def test_evaluation_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    network = example_networks()[1]
    monkeypatch.setattr(on_targets, "MOST_SPIKES", 5 * network.timesteps * sum(p.neurons for p in network.spiking))
    images = random_images(network, 13)
    labels = np.arange(13) % len(network.labels)
    done: list[int] = []
    result = evaluate(network, GpuTarget("cpu"), images, labels, progress=done.append)
    whole = ReferenceTarget().compile(network).run(images, record="all")
    assert result.counts == whole.counts
    assert np.array_equal(result.predictions, whole.predictions)
    assert result.accuracy == (whole.predictions == labels).mean()
    assert result.compared == tuple(p.name for p in network.spiking)
    assert done == [5, 10, 13]
    for name, totals in result.spike_totals.items():
        assert np.array_equal(totals.sum(axis=1), whole.spikes[name].reshape(len(images), -1).sum(axis=1))


def test_notes_of_all_chunks_add_up_unless_they_say_how_large_something_was(monkeypatch: pytest.MonkeyPatch) -> None:
    network = example_networks()[0]
    sizes: list[int] = []

    def note(result: RunResult) -> RunResult:
        sizes.append(len(result.predictions))
        return replace(result, notes={"run_s": 2.0, "peak_process_mib": float(sizes[-1])})

    monkeypatch.setattr(on_targets, "MOST_SPIKES", 9 * network.timesteps * sum(p.neurons for p in network.spiking))
    done = evaluate(network, Tampered(note), random_images(network, 12), compare=False)
    assert sizes == [9, 3]
    assert done.notes == {"run_s": 4.0, "peak_process_mib": 9.0}


def test_json_has_what_the_design_promises() -> None:
    network = example_networks()[0]
    data = evaluate(network, GpuTarget("cpu"), random_images(network, 2)).as_json()
    assert {
        "schema",
        "target",
        "fingerprint",
        "samples",
        "timesteps",
        "accuracy",
        "predictions",
        "layers",
        "counts",
    } <= set(data)
    fields = {"spikes", "synops_dense", "synops_effective", "input_macs", "input_macs_effective"}
    fields |= {"neuron_updates", "leak_updates"}
    assert set(data["counts"]) == fields | {"relay_neurons", "relay_spikes", "relay_synops_dense"}
    assert {"name", "kind", "neurons", "spikes", "synops_dense", "synops_effective"} <= set(data["layers"][0])
    assert data["matches_reference"] is True
    assert data["accuracy"] is None
    assert data["wall_s"] > 0
    assert data["samples_per_s"] > 0


@pytest.mark.parametrize("labels", [np.array([0, 5]), np.array([-1, 0]), np.array([0]), np.array([0.0, 1.0])])
def test_wrong_labels_are_refused(labels: np.ndarray) -> None:
    network = example_networks()[0]
    with pytest.raises(InputError, match="labels"):
        evaluate(network, GpuTarget("cpu"), random_images(network, 2), labels)


def test_check_same_accepts_what_is_the_same() -> None:
    network = example_networks()[0]
    images = random_images(network, 2)
    program = ReferenceTarget().compile(network)
    check_same(program.run(images, record="all"), program.run(images, record="all"))


def test_chunks_share_one_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk has what the ones before it left: four seconds a chunk, and ten in all."""
    network = example_networks()[0]
    monkeypatch.setattr(on_targets, "MOST_SPIKES", 4 * network.timesteps * sum(p.neurons for p in network.spiking))
    limits: list[float | None] = []

    class Slow(ReferenceTarget):
        name = "slow"

        def compile(self, network: Network) -> ReferenceProgram:
            class Program(ReferenceProgram):
                def run(self, images: np.ndarray, *, time_limit_s: float | None = None, **others: object) -> RunResult:
                    limits.append(time_limit_s)
                    return replace(super().run(images, **others), wall_s=4.0)

            return Program(network)

    with pytest.raises(TimedOutError, match="'slow' passed its limit after 12 images"):
        evaluate(network, Slow(), random_images(network, 16), time_limit_s=10.0)
    assert limits == [10.0, 6.0, 2.0]
    limits.clear()
    assert evaluate(network, Slow(), random_images(network, 16)).wall_s == 16.0
    assert limits == [None] * 4


def test_the_reference_is_not_compared_with_itself() -> None:
    network = example_networks()[0]
    result = evaluate(network, ReferenceTarget(), random_images(network, 2))
    assert result.compared == ()
    assert result.as_json()["matches_reference"] is False


def test_several_targets_share_one_run_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    network, runs = example_networks()[0], list[int]()
    compute = ReferenceProgram.compute

    def counted(self: ReferenceProgram, images: np.ndarray, *rest: object) -> Computed:
        runs.append(len(images))
        return compute(self, images, *rest)

    monkeypatch.setattr(ReferenceProgram, "compute", counted)
    images = random_images(network, 5)
    wrong, gpu, away = Tampered(flip), GpuTarget("cpu"), GpuTarget("cuda:63")
    outcomes = evaluate_each(network, [wrong, gpu, away], images)
    assert runs == [5, 5]  # of the reference, and of what is made wrong from it
    assert isinstance(outcomes[0], VerificationError)
    assert isinstance(outcomes[1], Evaluation)
    assert outcomes[1].compared == tuple(p.name for p in network.spiking)
    assert isinstance(outcomes[2], TargetUnavailableError)
