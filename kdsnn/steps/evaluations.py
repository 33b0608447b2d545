"""The evaluations that a run keeps: each under a key of what decides it, so that none replaces another.

`RUN/evaluations/TARGET-SAMPLES-KEY.json` holds the object of `kdsnn evaluate --json` and, as `identity`, the target
with its settings and the data it was shown. The key is a part of the sha256 of fingerprint and identity: the same
question has the same file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError
from kdsnn.evaluation import Evaluation
from kdsnn.network import Network
from kdsnn.run_folders import read_json, write_json
from kdsnn.steps.images import DataIdentity
from kdsnn.targets.base import Target

__all__ = ["EVALUATIONS", "belongs_to", "keep", "kept"]

EVALUATIONS = "evaluations"
KEY_LENGTH = 10  # of the 64 digits: enough for the files of one folder


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
        if isinstance(data.get("identity"), Mapping) and isinstance(data.get("samples"), int):
            found.append(data)
    return sorted(found, key=lambda e: -e["samples"])


def belongs_to(evaluation: Mapping[str, Any], network: Network) -> bool:
    """Whether an evaluation is of this network, on the test images of the data set that it was trained on."""
    data = evaluation["identity"]["data"]
    ours = data["split"] == "test" and data["name"] == network.provenance.get("dataset")
    return bool(evaluation["fingerprint"] == network.fingerprint() and ours)
