"""Collects what a run knows into one JSON object: the truth that the HTML page is a view of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdsnn.data.datasets import load_dataset
from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import energy_model_names, load_energy_model
from kdsnn.errors import InputError, KdsnnError
from kdsnn.evaluation.agreement import agreement_of
from kdsnn.evaluation.edges import edges_of
from kdsnn.network.counters import Counts, LayerCounts
from kdsnn.noise.measurements import measurements
from kdsnn.run_folders import read_json
from kdsnn.steps.evaluations import kept, of_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.steps.quantize import FIGURES, figures_of
from kdsnn.targets.reference import simulate
from kdsnn.targets.registry import load_target

__all__ = ["collect"]

SCHEMA = "kdsnn.report/1"


def collect(model: Model) -> dict[str, Any]:
    """Accuracy, firing rates, SynOps, energy, noise and one image's spikes, from the files of a run.

    Raises:
        InputError: the model belongs to no run, or the run was not evaluated yet.
    """
    if model.run is None:
        raise InputError(f"{model.path} belongs to no run", hint="report a run, not a file")
    fingerprint = model.network.fingerprint()
    evaluations = of_model(model)
    others = len(kept(model.run)) - len(evaluations)
    if not evaluations:
        raise InputError(
            f"run {model.run} was not evaluated on its own test images since it was quantized"
            + (f"; {others} evaluations are of other networks or images" if others else ""),
            hint=f"run: kdsnn evaluate {model.run}",
        )
    widest = evaluations[0]
    counts = _counts(widest)
    teacher = _optional(model.run / "teacher.json")
    quantization = figures_of(model.run, model.network)
    noise = _noise(model.run, fingerprint)
    return {
        "schema": SCHEMA,
        "name": model.network.name,
        "run": model.run.name,
        "fingerprint": fingerprint,
        "timesteps": model.network.timesteps,
        "provenance": dict(model.network.provenance),
        "accuracy": _accuracies(model, teacher, quantization, evaluations),
        "left_out": _left_out(quantization, others),
        "counted_on": {
            "target": widest["target"],
            "samples": widest["samples"],
            "data": widest["identity"]["data"],
        },
        "layers": _layers(counts, model.network.timesteps),
        "edges": edges_of(model.network),
        "agreement": agreement_of(model.network),
        "targets": [_target_row(e) for e in evaluations],
        "energy": [_energy(name, counts, teacher) for name in energy_model_names()],
        "teacher": teacher,
        "noise": noise[0] if noise else None,
        "noise_measurements": noise,
        "image": _one_image(model),
    }


def _optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _counts(evaluation: dict[str, Any]) -> Counts:
    layers = tuple(LayerCounts(**layer) for layer in evaluation["layers"])
    return Counts(int(evaluation["samples"]), layers)


def _accuracies(
    model: Model,
    teacher: dict[str, Any] | None,
    quantization: dict[str, Any] | None,
    evaluations: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """What is known, each with the number of test images that it was measured on."""
    whole = len(load_dataset(model.network.provenance["dataset"]).test.labels)
    rows = []
    if teacher is not None:
        what = f"teacher ({teacher.get('model', 'ANN')}, float)"
        rows.append({"what": what, "accuracy": teacher["accuracy"], "samples": whole})
    if quantization is not None:
        for what, key in (("student (SNN, float)", "float_accuracy"), ("integer network", "integer_accuracy")):
            rows.append({"what": what, "accuracy": quantization[key], "samples": whole})
    for e in evaluations:
        rows.append({"what": f"on {_title(e)}", "accuracy": e["accuracy"], "samples": e["samples"]})
    return rows


def _title(evaluation: dict[str, Any]) -> str:
    """The target, with its settings where they are not the usual ones."""
    target, settings = evaluation["target"], evaluation["identity"]["target"]["settings"]
    try:
        usual = load_target(target, {}).settings
    except KdsnnError:  # of a package that is not installed here
        usual = {}
    special = [f"{key}={value}" for key, value in settings.items() if usual.get(key) != value]
    return f"{target} ({', '.join(special)})" if special else str(target)


def _left_out(quantization: dict[str, Any] | None, others: int) -> list[str]:
    """What lies in the run, or should, and is not in the report."""
    lines = []
    if quantization is None:
        lines.append(
            f"{FIGURES} is missing, or of another network: the accuracies of the float student and of the integer "
            "network are not known of this one. Make them with: kdsnn quantize"
        )
    if others:
        lines.append(f"Evaluations of other networks or images in this run: {others}. See kdsnn list evaluations")
    return lines


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
    keys = ("target", "samples", "accuracy", "matches_reference", "samples_per_s", "versions", "identity")
    return {**{key: evaluation[key] for key in keys}, "title": _title(evaluation)}


def _energy(name: str, counts: Counts, teacher: dict[str, Any] | None) -> dict[str, Any]:
    model = load_energy_model(name)
    report = estimate(model, counts, teacher_macs=int(teacher["macs"]) if teacher else None)
    return {"title": model.title, "account": model.account, "date": model.date, **report.as_json()}


def _noise(run: Path, fingerprint: str) -> list[dict[str, Any]]:
    """What `kdsnn noise` measured of this network, that of most evaluations first."""
    known = [m for m in measurements(run) if any(n["fingerprint"] == fingerprint for n in m["networks"])]
    return sorted(known, key=lambda m: -m["samples"] * m["seeds"])


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
