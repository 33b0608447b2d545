"""A difference of one spike or one count fails, and says where."""

from dataclasses import replace

import numpy as np
import pytest

from kdsnn.errors import InputError, VerificationError
from kdsnn.evaluation import check_same, evaluate, on_targets
from kdsnn.network import Network
from kdsnn.targets.base import RunResult
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget
from kdsnn.testing import example_networks, random_images


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
    fields = {"spikes", "synops_dense", "synops_effective", "input_macs", "neuron_updates"}
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
