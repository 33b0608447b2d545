"""The measurements under noise that a run keeps: each under a key of what was asked, so that none replaces another.

`RUN/noise/KINDS-TARGET-SAMPLES-KEY.json` holds the object of `kdsnn noise --json`; the same name in `.png`, its curves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError
from kdsnn.run_folders import read_json

__all__ = ["measurements", "record_name"]

FOLDER = "noise"
KEY_LENGTH = 10  # of the 64 digits of a checksum
NEEDED = {"networks", "noise", "samples", "seeds", "target"}


def record_name(data: Mapping[str, Any]) -> str:
    """Where a measurement lies inside its run, without a suffix: the same question has the same name."""
    asked = {
        **{key: data[key] for key in ("dataset", "samples", "seeds", "target", "settings", "images_sha256")},
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


def _levels(noise: Mapping[str, Any]) -> list[float]:
    return [point["level"] for point in noise["curves"][0]["points"]]
