"""The evaluations that a run keeps: each under a key of what decides it, so that none replaces another.

`RUN/evaluations/TARGET-SAMPLES-KEY.json` holds the object of `kdsnn evaluate --json` and, as `identity`, the target
with its settings and the data it was shown. The key is a part of the sha256 of fingerprint and identity: the same
question has the same file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError
from kdsnn.evaluation import Evaluation
from kdsnn.network import Network
from kdsnn.run_folders import read_json, write_json
from kdsnn.steps.images import DataIdentity, select_images
from kdsnn.steps.models import Model
from kdsnn.targets.base import Target

__all__ = ["EVALUATIONS", "belongs_to", "keep", "kept", "of_model"]

EVALUATIONS = "evaluations"
KEY_LENGTH = 10  # of the 64 digits: enough for the files of one folder
DATA = {field.name for field in fields(DataIdentity)}
NEEDED = {"accuracy", "counts", "fingerprint", "layers", "matches_reference", "samples_per_s", "target", "versions"}


def keep(run: Path, evaluation: Evaluation, target: Target, data: DataIdentity) -> Path:
    """Writes an evaluation into a run; the same evaluation again replaces itself alone."""
    identity = {"target": {"name": target.name, "settings": target.settings}, "data": data.as_json()}
    decides = json.dumps([evaluation.fingerprint, identity], sort_keys=True)
    key = hashlib.sha256(decides.encode()).hexdigest()[:KEY_LENGTH]
    path = run / EVALUATIONS / f"{target.name}-{evaluation.samples}-{key}.json"
    write_json(path, {**evaluation.as_json(), "identity": identity})
    return path


def kept(run: Path) -> list[dict[str, Any]]:
    """All evaluations of a run, those of most images first; files that are none of ours are left out."""
    found = []
    for path in sorted((run / EVALUATIONS).glob("*.json")):
        try:
            data = read_json(path)
        except InputError:
            continue
        if _is_ours(data):
            found.append(data)
    return sorted(found, key=lambda e: -e["samples"])


def belongs_to(evaluation: Mapping[str, Any], network: Network) -> bool:
    """Whether an evaluation is of this network, on the test images of the data set that it was trained on."""
    data = evaluation["identity"]["data"]
    ours = data["split"] == "test" and data["name"] == network.provenance.get("dataset")
    return bool(evaluation["fingerprint"] == network.fingerprint() and ours)


def of_model(model: Model) -> list[dict[str, Any]]:
    """The evaluations that a model's run keeps of this very network, on its test images as they are here and now.

    Raises:
        InputError: the data set cannot be had.
    """
    if model.run is None:
        return []
    found = [evaluation for evaluation in kept(model.run) if belongs_to(evaluation, model.network)]
    shown = {n: select_images(model, samples=n).identity.as_json() for n in {e["samples"] for e in found}}
    return [evaluation for evaluation in found if evaluation["identity"]["data"] == shown[evaluation["samples"]]]


def _is_ours(data: Mapping[str, Any]) -> bool:
    """Whether a file says all that readers ask of it."""
    identity = data.get("identity")
    if not isinstance(identity, Mapping) or not isinstance(data.get("samples"), int):
        return False
    target, shown = identity.get("target"), identity.get("data")
    if not isinstance(target, Mapping) or not isinstance(shown, Mapping):
        return False
    return data.keys() >= NEEDED and isinstance(target.get("settings"), Mapping) and shown.keys() >= DATA
