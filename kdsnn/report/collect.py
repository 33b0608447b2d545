"""Collects what a run knows into one JSON object: the truth that the HTML page is a view of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import energy_model_names, load_energy_model
from kdsnn.errors import InputError
from kdsnn.evaluation.agreement import agreement_of
from kdsnn.evaluation.edges import edges_of
from kdsnn.network.counters import Counts, LayerCounts
from kdsnn.noise.measurements import judged as noise_judged
from kdsnn.report.left_out import left_out
from kdsnn.run_folders import read_json
from kdsnn.steps.deployment import deployment
from kdsnn.steps.evaluations import activity_of, judged, target_of
from kdsnn.steps.figures import FIGURES, figures_of
from kdsnn.steps.images import Selection, select_images
from kdsnn.steps.models import Model
from kdsnn.targets.reference import simulate

__all__ = ["collect", "one_image"]

SCHEMA = "kdsnn.report/1"
TEACHER = "teacher.json"


def collect(model: Model) -> dict[str, Any]:
    """Accuracy, firing rates, SynOps, energy, noise and one image's spikes, from the files of a run.

    Raises:
        InputError: the model belongs to no run, or the run was not evaluated yet.
    """
    if model.run is None:
        raise InputError(
            f"{model.path} belongs to no run",
            hint="report a run, not a file; of a module of your own, kdsnn convert --run makes one",
        )
    found = judged(model)
    evaluations = [evaluation for evaluation, why_not in found if why_not is None]
    if not evaluations:
        raise InputError(
            f"run {model.run} was not evaluated on its own test images since it was quantized",
            problems=[f"{row['what']}: {row['why']}" for row in left_out(found)],
            hint=f"run: kdsnn evaluate {model.run}",
        )
    test = select_images(model).identity.as_json()
    noise, teacher = noise_judged(model), _optional(model.run / TEACHER)
    quantization = figures_of(model.run, model.network)
    others = [name for name, of in ((TEACHER, teacher), (FIGURES, quantization)) if of and of.get("data", test) != test]
    missed = left_out(found, noise, unknown=quantization is None, of_other_images=others)
    widest = evaluations[0]
    counts = _counts(widest)
    measured = sorted((m for m, why_not in noise if why_not is None), key=lambda m: -m["samples"] * m["seeds"])
    return {
        "schema": SCHEMA,
        "name": model.network.name,
        "run": model.run.name,
        "fingerprint": model.network.fingerprint(),
        "timesteps": model.network.timesteps,
        "provenance": dict(model.network.provenance),
        "accuracy": _accuracies(
            None if TEACHER in others else teacher,
            None if FIGURES in others else quantization,
            evaluations,
            whole=test["samples"],
        ),
        "left_out": missed,
        "counted_on": {
            "target": widest["target"],
            "samples": widest["samples"],
            "data": widest["identity"]["data"],
        },
        "layers": _layers(counts, model.network.timesteps),
        "edges": edges_of(model.network),
        "agreement": agreement_of(model.network),
        "targets": [_target_row(e) for e in evaluations],
        "energy": [_energy(name, model, widest, teacher) for name in energy_model_names()],
        "teacher": teacher,
        "noise": measured[0] if measured else None,
        "noise_measurements": measured,
        "image": one_image(model),
    }


def _optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _counts(evaluation: dict[str, Any]) -> Counts:
    layers = tuple(LayerCounts(**layer) for layer in evaluation["layers"])
    return Counts(int(evaluation["samples"]), layers)


def _accuracies(
    teacher: dict[str, Any] | None,
    quantization: dict[str, Any] | None,
    evaluations: Sequence[dict[str, Any]],
    *,
    whole: int,
) -> list[dict[str, Any]]:
    """What is known, each with the number of test images that it was measured on."""
    rows = []
    if teacher is not None:
        what = f"teacher ({teacher.get('model', 'ANN')}, float)"
        rows.append({"what": what, "accuracy": teacher["accuracy"], "samples": whole})
    if quantization is not None:
        student = "module" if "module_agreement" in quantization else "student"
        for what, key in ((f"{student} (SNN, float)", "float_accuracy"), ("integer network", "integer_accuracy")):
            rows.append({"what": what, "accuracy": quantization[key], "samples": whole})
    for e in evaluations:
        rows.append({"what": f"on {target_of(e)}", "accuracy": e["accuracy"], "samples": e["samples"]})
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
            "input_macs_effective_per_sample": layer.input_macs_effective / counts.samples,
            "timesteps": timesteps,
        }
        for layer in counts.layers
    ]


def _target_row(evaluation: dict[str, Any]) -> dict[str, Any]:
    keys = ("target", "samples", "accuracy", "matches_reference", "samples_per_s", "versions", "identity")
    return {**{key: evaluation[key] for key in keys}, "title": target_of(evaluation)}


def _energy(name: str, model: Model, evaluation: dict[str, Any], teacher: dict[str, Any] | None) -> dict[str, Any]:
    """The energy under one model. Where each neuron's spikes are not kept, they count as spread evenly over a layer."""
    constants, placed, counts = load_energy_model(name), None, _counts(evaluation)
    if constants.chip is not None:
        shown, activity = select_images(model, samples=counts.samples), activity_of(model, evaluation)
        placed = deployment(model.network, constants.chip, shown.images, counts, activity)
    macs = int(teacher["macs"]) if teacher else None
    report = estimate(constants, counts, teacher_macs=macs, deployment=placed)
    said = {"title": constants.title, "account": constants.account, "date": constants.date}
    return {**said, **report.as_json(), "spread_evenly": placed is not None and placed.even}


def one_image(model: Model, index: int | None = None) -> dict[str, Any]:
    """A test image by its number, or the first that was evaluated, and when which neurons fired on it."""
    shown = select_images(model, samples=1) if index is None else _numbered(select_images(model), index)
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


def _numbered(shown: Selection, index: int) -> Selection:
    if not 0 <= index < len(shown.images):
        raise InputError(f"there is no image {index}: {shown.identity.name} has {len(shown.images)}, the first is 0")
    labels = None if shown.labels is None else shown.labels[index : index + 1]
    return replace(shown, images=shown.images[index : index + 1], labels=labels)
