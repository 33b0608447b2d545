"""The evaluations that a run keeps: each under a key of what decides it, so that none replaces another.

`RUN/evaluations/TARGET-SAMPLES-KEY.json` holds the object of `kdsnn evaluate --json` and, as `identity`, the target
with its settings and the data it was shown; `RUN/activity/TARGET-SAMPLES-KEY.npz` holds each neuron's spikes. The key
is a part of the sha256 of fingerprint and identity: the same question has the same file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.identity import DataIdentity
from kdsnn.data.sources.columns import in_npz
from kdsnn.errors import InputError, KdsnnError
from kdsnn.evaluation import Evaluation
from kdsnn.evaluation.result import IN_TIME
from kdsnn.files.records import read_record
from kdsnn.files.writing import write_atomic, write_json
from kdsnn.network.counters import FIELDS
from kdsnn.steps.evaluation_records import Kept
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model
from kdsnn.targets.base import Target
from kdsnn.targets.registry import load_target

__all__ = [
    "ACTIVITY",
    "EVALUATIONS",
    "OLDER",
    "activity_of",
    "data_of",
    "identity_of",
    "is_of_older_version",
    "judged",
    "keep",
    "kept",
    "of_model",
    "target_of",
    "unusual_settings",
]

EVALUATIONS, ACTIVITY = "evaluations", "activity"
OLDER = "of an older version, which counted less: run kdsnn evaluate again"
KEY_LENGTH = 10  # of the 64 digits: enough for the files of one folder


def identity_of(target: Target, data: DataIdentity) -> dict[str, Any]:
    """What an evaluation is of, beside the network: the target with its settings, and the images."""
    return {"target": {"name": target.name, "settings": target.settings}, "data": data.as_json()}


def keep(run: Path, evaluation: Evaluation, target: Target, data: DataIdentity) -> Path:
    """Writes an evaluation into a run; the same evaluation again replaces itself alone.

    What it knew of answers in time stays, where it is not asked for again.
    """
    whole = {**evaluation.as_json(), "identity": identity_of(target, data)}
    totals = {name: each.sum(axis=0, dtype=np.int64) for name, each in evaluation.spike_totals.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **{f"spikes/{name}": total for name, total in totals.items()})
    write_atomic(run / ACTIVITY / f"{_stem(whole)}.npz", packed.getvalue())
    path = run / EVALUATIONS / f"{_stem(whole)}.json"
    write_json(path, {**_in_time_of(path), **whole})
    return path


def activity_of(model: Model, evaluation: Mapping[str, Any]) -> dict[str, npt.NDArray[np.int64]] | None:
    """Each neuron's spikes over all images of an evaluation, `(neurons,)` by population; None where they are not kept.

    Args:
        model: that the evaluation is of.
        evaluation: one of its run.
    """
    if model.run is None:
        return None
    try:
        packed = in_npz(model.run / ACTIVITY / f"{_stem(evaluation)}.npz")
        found = {name.removeprefix("spikes/"): column.whole() for name, column in packed.items()}
    except InputError:
        return None
    if any(each.dtype.kind not in "iu" for each in found.values()):
        return None
    counted = {layer["name"]: ((layer["neurons"],), layer["spikes"]) for layer in evaluation["layers"]}
    same = {name: (each.shape, int(each.sum())) for name, each in found.items()}
    return found if same == counted else None


def _stem(evaluation: Mapping[str, Any]) -> str:
    decides = json.dumps([evaluation["fingerprint"], evaluation["identity"]], sort_keys=True)
    key = hashlib.sha256(decides.encode()).hexdigest()[:KEY_LENGTH]
    return f"{evaluation['target']}-{evaluation['samples']}-{key}"


def kept(run: Path) -> list[dict[str, Any]]:
    """All evaluations of a run, older versions' too, those of most images first; other files are left out."""
    found = []
    for path in sorted((run / EVALUATIONS).glob("*.json")):
        try:
            found.append(read_record(path, Kept))
        except InputError:
            continue
    return sorted(found, key=lambda e: -e["samples"])


def judged(model: Model) -> list[tuple[dict[str, Any], str | None]]:
    """All evaluations that a model's run keeps, each with why it says nothing of this model; None where it does.

    It does where it is of this very network, on test images of its data set as they are here and now.

    Raises:
        InputError: the data set cannot be had.
    """
    if model.run is None:
        return []
    fingerprint, own = model.network.fingerprint(), model.network.provenance.get("dataset")

    @cache
    def shown(samples: int) -> dict[str, Any]:
        return select_images(model, samples=samples).identity.as_json()

    def why_not(evaluation: Mapping[str, Any]) -> str | None:
        data = evaluation["identity"]["data"]
        if evaluation["fingerprint"] != fingerprint:
            return "of another network"
        if (data["name"], data["split"]) != (own, "test"):
            return "of other images"
        if is_of_older_version(evaluation):
            return OLDER
        return None if data == shown(evaluation["samples"]) else f"of other images than {own} has now"

    return [(evaluation, why_not(evaluation)) for evaluation in kept(model.run)]


def is_of_older_version(evaluation: Mapping[str, Any]) -> bool:
    """Whether it was kept by a version that counted less, so that it says nothing of what that left out."""
    counted = (evaluation["counts"], *evaluation["layers"])
    return any(not each.keys() >= set(FIELDS) for each in counted)


def of_model(model: Model) -> list[dict[str, Any]]:
    """The evaluations of `judged` that are of this model, those of most images first."""
    return [evaluation for evaluation, why_not in judged(model) if why_not is None]


def target_of(evaluation: Mapping[str, Any]) -> str:
    """The target, with its settings where they are not the usual ones: `gpu (arithmetic=float32)`."""
    target = evaluation["target"]
    special = [f"{key}={value}" for key, value in unusual_settings(evaluation).items()]
    return f"{target} ({', '.join(special)})" if special else str(target)


def unusual_settings(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The settings of an evaluation's target that are not the usual ones."""
    settings: dict[str, str] = evaluation["identity"]["target"]["settings"]
    try:
        usual = load_target(evaluation["target"], {}).settings
    except KdsnnError:  # of a package that is not installed here
        return settings
    return {key: value for key, value in settings.items() if usual.get(key) != value}


def data_of(evaluation: Mapping[str, Any]) -> str:
    """The images: `digits test`, `digits test (random, seed 0)` or the name of a file."""
    data = evaluation["identity"]["data"]
    name = " ".join(filter(None, (data["name"], data["split"])))
    return name if data["selection"] == "all" else f"{name} ({data['selection']})"


def _in_time_of(path: Path) -> dict[str, Any]:
    """What an evaluation that is there already says of answers in time."""
    try:
        before = read_record(path, Kept)
    except InputError:
        return {}
    return {key: before[key] for key in (IN_TIME,) if key in before}
