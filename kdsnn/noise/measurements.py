"""The measurements under noise that a run keeps: each under a key of what was asked, so that none replaces another.

`RUN/noise/KINDS-TARGET-SAMPLES-KEY.json` holds the object of `kdsnn noise --json`; the same name in `.png`, its curves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError
from kdsnn.files.reading import read_json
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model

__all__ = ["judged", "measurements", "record_name"]

FOLDER = "noise"
KEY_LENGTH = 10  # of the 64 digits of a checksum
NEEDED = {"data", "dataset", "networks", "noise", "samples", "seeds", "target"}


def record_name(data: Mapping[str, Any]) -> str:
    """Where a measurement lies inside its run, without a suffix: the same question has the same name."""
    asked = {
        **{key: data[key] for key in ("data", "seeds", "target", "settings")},
        "networks": [[network["name"], network["fingerprint"]] for network in data["networks"]],  # runs may be renamed
        "levels": sorted((noise["kind"], *_levels(noise)) for noise in data["noise"]),
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]
    kinds = "+".join(sorted(noise["kind"] for noise in data["noise"]))
    return f"{FOLDER}/{kinds}-{data['target']}-{data['samples']}-{key}"


def measurements(run: Path) -> list[dict[str, Any]]:
    """All measurements that a run keeps; files that are none are left out."""
    found = []
    for path in sorted((run / FOLDER).glob("*.json")):
        try:
            data = read_json(path)
        except InputError:
            continue
        if data.keys() >= NEEDED:
            found.append(data)
    return found


def judged(model: Model) -> list[tuple[dict[str, Any], str | None]]:
    """All measurements that a model's run keeps, each with why it says nothing of this model; None where it does.

    It does where this very network was measured, on test images of its data set as they are here and now.

    Raises:
        InputError: the data set cannot be had.
    """
    if model.run is None:
        return []
    fingerprint = model.network.fingerprint()

    @cache
    def shown(samples: int) -> dict[str, Any]:
        return select_images(model, samples=samples).identity.as_json()

    def why_not(measured: Mapping[str, Any]) -> str | None:
        if all(network["fingerprint"] != fingerprint for network in measured["networks"]):
            return "of another network"
        return None if measured["data"] == shown(measured["samples"]) else "of other images"

    return [(measured, why_not(measured)) for measured in measurements(model.run)]


def _levels(noise: Mapping[str, Any]) -> list[float]:
    return [point["level"] for point in noise["curves"][0]["points"]]
