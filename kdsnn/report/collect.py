"""Collects what a run knows into one JSON object: the truth that the HTML page is a view of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kdsnn.energy.estimate import energy_model_names, estimate, load_energy_model
from kdsnn.errors import InputError
from kdsnn.network.counters import Counts, LayerCounts
from kdsnn.run_folders import read_json
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.targets.reference import simulate

__all__ = ["collect"]

SCHEMA = "kdsnn.report/1"


def collect(model: Model) -> dict[str, Any]:
    """Accuracy, firing rates, SynOps, energy, noise and one image's spikes, from the files of a run.

    Raises:
        InputError: the model belongs to no run, or the run was not evaluated yet.
    """
    if model.run is None:
        raise InputError(f"{model.path} belongs to no run", hint="report a run, not a file")
    evaluations = [read_json(p) for p in sorted(model.run.glob("evaluation-*.json"))]
    fingerprint = model.network.fingerprint()
    current = [e for e in evaluations if e["fingerprint"] == fingerprint]
    if not current:
        raise InputError(
            f"run {model.run} was not evaluated since it was quantized", hint=f"run: kdsnn evaluate {model.run}"
        )
    widest = max(current, key=lambda e: int(e["samples"]))
    counts = _counts(widest)
    teacher = _optional(model.run / "teacher.json")
    return {
        "schema": SCHEMA,
        "name": model.network.name,
        "run": model.run.name,
        "fingerprint": fingerprint,
        "timesteps": model.network.timesteps,
        "provenance": dict(model.network.provenance),
        "accuracy": _accuracies(model.run, teacher, current),
        "counted_on": {"target": widest["target"], "samples": widest["samples"]},
        "layers": _layers(counts, model.network.timesteps),
        "targets": [_target_row(e) for e in current],
        "energy": [_energy(name, counts, teacher) for name in energy_model_names()],
        "teacher": teacher,
        "noise": _noise(model.run, fingerprint),
        "image": _one_image(model),
    }


def _optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _counts(evaluation: dict[str, Any]) -> Counts:
    layers = tuple(LayerCounts(**layer) for layer in evaluation["layers"])
    return Counts(int(evaluation["samples"]), layers)


def _accuracies(run: Path, teacher: dict[str, Any] | None, evaluations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    if teacher is not None:
        rows.append({"what": f"teacher ({teacher.get('model', 'ANN')}, float)", "accuracy": teacher["accuracy"]})
    quantization = _optional(run / "quantization.json")
    if quantization is not None:
        rows.append({"what": "student (SNN, float)", "accuracy": quantization["float_accuracy"]})
        rows.append({"what": "integer network, whole test set", "accuracy": quantization["integer_accuracy"]})
    for e in evaluations:
        if e["accuracy"] is not None:
            rows.append({"what": f"on {e['target']}, {e['samples']} images", "accuracy": e["accuracy"]})
    return rows


def _layers(counts: Counts, timesteps: int) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "kind": layer.kind,
            "neurons": layer.neurons,
            "firing_rate": layer.spikes / layer.neuron_updates,
            "spikes_per_sample": layer.spikes / counts.samples,
            "synops_dense_per_sample": layer.synops_dense / counts.samples,
            "synops_effective_per_sample": layer.synops_effective / counts.samples,
            "input_macs_per_sample": layer.input_macs / counts.samples,
            "timesteps": timesteps,
        }
        for layer in counts.layers
    ]


def _target_row(evaluation: dict[str, Any]) -> dict[str, Any]:
    keys = ("target", "samples", "accuracy", "matches_reference", "samples_per_s", "versions")
    return {key: evaluation[key] for key in keys}


def _energy(name: str, counts: Counts, teacher: dict[str, Any] | None) -> dict[str, Any]:
    model = load_energy_model(name)
    report = estimate(model, counts, teacher_macs=int(teacher["macs"]) if teacher else None)
    return {"title": model.title, "date": model.date, **report.as_json()}


def _noise(run: Path, fingerprint: str) -> dict[str, Any] | None:
    """What `kdsnn noise` measured of this network, if it did."""
    noise = _optional(run / "noise.json")
    known = noise is not None and any(network["fingerprint"] == fingerprint for network in noise["networks"])
    return noise if known else None


def _one_image(model: Model) -> dict[str, Any]:
    """The first evaluated image, and when which neurons fired on it."""
    shown = select_images(model, samples=1)
    spikes, _ = simulate(model.network, shown.images)
    return {
        "pixels": shown.images[0].tolist(),
        "label": None if shown.labels is None else model.network.labels[int(shown.labels[0])],
        "spikes": {
            name: [np.flatnonzero(step).tolist() for step in train[0].reshape(len(train[0]), -1)]
            for name, train in spikes.items()
        },
        "neurons": {p.name: p.neurons for p in model.network.spiking},
    }
