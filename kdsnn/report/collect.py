"""Collects what a run knows into one JSON object: the truth that the HTML page is a view of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import energy_model_names, load_energy_model
from kdsnn.errors import InputError
from kdsnn.evaluation.agreement import agreement_of
from kdsnn.evaluation.edges import edges_of
from kdsnn.evaluation.result import IN_TIME
from kdsnn.files.reading import read_text
from kdsnn.network.counters import Counts, LayerCounts
from kdsnn.noise.measurements import judged as noise_judged
from kdsnn.report.accuracies import accuracies, confusion
from kdsnn.report.commands import commands
from kdsnn.report.cores import placements
from kdsnn.report.layers import layer_rows
from kdsnn.report.left_out import left_out
from kdsnn.report.shown import shown_images
from kdsnn.report.verdict import LEADING_MODEL, verdict_of
from kdsnn.run_folders import RECIPE, name_of_run
from kdsnn.steps.deployment import deployment
from kdsnn.steps.evaluations import activity_of, judged, target_of
from kdsnn.steps.figures import FIGURES, figures_of
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.steps.teacher import TEACHER, teacher_of
from kdsnn.toml_files import MOST_BYTES

__all__ = ["collect", "counts_of_evaluation"]

SCHEMA = "kdsnn.report/1"


def collect(model: Model) -> dict[str, Any]:
    """Accuracy, firing rates, SynOps, energy, noise and some images' spikes, from the files of a run.

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
    whole = select_images(model)
    test = whole.identity.as_json()
    noise, teacher = noise_judged(model), teacher_of(model.run)
    quantization = figures_of(model.run, model.network)
    others = [name for name, of in ((TEACHER, teacher), (FIGURES, quantization)) if of and of.get("data", test) != test]
    missed = left_out(found, noise, unknown=quantization is None, of_other_images=others)
    widest = evaluations[0]
    counts, timesteps = counts_of_evaluation(widest), model.network.timesteps
    shown = whole if widest["samples"] == len(whole.images) else select_images(model, samples=widest["samples"])
    measured = sorted((m for m, why_not in noise if why_not is None), key=lambda m: -m["samples"] * m["seeds"])
    energy = [_energy(name, model, widest, teacher) for name in energy_model_names()]
    leading: dict[str, float] = next((e["layers"] for e in energy if e["model"] == LEADING_MODEL), {})
    accuracy = accuracies(
        None if TEACHER in others else teacher,
        None if FIGURES in others else quantization,
        evaluations,
        whole=test["samples"],
    )
    images = shown_images(model.network, shown, widest)
    return {
        "schema": SCHEMA,
        "name": model.network.name,
        "run": name_of_run(model.run),
        "fingerprint": model.network.fingerprint(),
        "timesteps": timesteps,
        "classes": list(model.network.labels),
        "provenance": dict(model.network.provenance),
        "verdict": verdict_of(model.network, evaluations, accuracy[-len(evaluations)], energy),
        "accuracy": accuracy,
        "curve": _curve(evaluations),
        "confusion": confusion(widest, shown.labels, len(model.network.labels)),
        "left_out": missed,
        "counted_on": {
            "target": widest["target"],
            "samples": widest["samples"],
            "data": widest["identity"]["data"],
        },
        "layers": layer_rows(counts, timesteps, activity_of(model, widest), leading),
        "edges": edges_of(model.network),
        "agreement": agreement_of(model.network),
        "targets": [_target_row(e) for e in evaluations],
        "energy": energy,
        "placements": placements(model.network),
        "teacher": teacher,
        "noise": measured[0] if measured else None,
        "noise_measurements": measured,
        "image": images[0],
        "images": images,
        "recipe": _text(model.run / RECIPE),
        "commands": commands(model, evaluations, quantization),
    }


def _text(path: Path) -> str | None:
    return read_text(path, MOST_BYTES) if path.is_file() else None


def counts_of_evaluation(evaluation: dict[str, Any]) -> Counts:
    """The counts that a kept evaluation holds."""
    layers = tuple(LayerCounts(**layer) for layer in evaluation["layers"])
    return Counts(int(evaluation["samples"]), layers)


def _curve(evaluations: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Answers after each step, of the widest evaluation that has them."""
    found = next((e for e in evaluations if e.get(IN_TIME)), None)
    return None if found is None else {"target": found["target"], "samples": found["samples"], **found[IN_TIME]}


def _target_row(evaluation: dict[str, Any]) -> dict[str, Any]:
    keys = ("target", "samples", "accuracy", "matches_reference", "samples_per_s", "versions", "identity")
    return {**{key: evaluation[key] for key in keys}, "title": target_of(evaluation)}


def _energy(name: str, model: Model, evaluation: dict[str, Any], teacher: dict[str, Any] | None) -> dict[str, Any]:
    """The energy under one model. Where each neuron's spikes are not kept, they count as spread evenly over a layer."""
    constants, placed, counts = load_energy_model(name), None, counts_of_evaluation(evaluation)
    if constants.chip is not None:
        shown, activity = select_images(model, samples=counts.samples), activity_of(model, evaluation)
        placed = deployment(model.network, constants.chip, shown.images, counts, activity)
    macs = int(teacher["macs"]) if teacher else None
    report = estimate(constants, counts, teacher_macs=macs, deployment=placed)
    said = {"title": constants.title, "account": constants.account, "date": constants.date}
    return {**said, **report.as_json(), "spread_evenly": placed is not None and placed.even}
