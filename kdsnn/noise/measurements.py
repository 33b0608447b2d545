"""The measurements under noise that a run keeps: each under a key of what was asked, so that none replaces another.

`RUN/noise/KINDS-TARGET-SAMPLES-KEY.json` holds the object of `kdsnn noise --json`; the same name in `.png`, its curves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from kdsnn.errors import InputError
from kdsnn.files.records import Count, Real, Record, Share, read_record
from kdsnn.steps.images import select_images
from kdsnn.steps.models import Model

__all__ = ["judged", "measurements", "record_name"]

FOLDER = "noise"
KEY_LENGTH = 10  # of the 64 digits of a checksum
Level = Annotated[Real, Field(ge=0)]


class Point(Record):
    """Accuracy at a level of noise."""

    level: Level
    mean: Share | None
    spread: Level | None


class Curve(Record):
    """What was measured of a network."""

    network: str
    points: list[Point]


class Noise(Record):
    """What was measured under a kind of noise."""

    kind: str
    level: str
    curves: Annotated[list[Curve], Field(min_length=1)]


class Subject(Record):
    """A network that was measured."""

    name: str
    fingerprint: str | None


class Measurement(Record):
    """What readers ask of a measurement."""

    dataset: str
    samples: Annotated[Count, Field(ge=1)]
    seeds: Count
    target: str
    data: dict[str, Any]
    networks: list[Subject]
    noise: Annotated[list[Noise], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _fits(self) -> Measurement:
        """Curves are of the networks that were measured."""
        if {curve.network for noise in self.noise for curve in noise.curves} - {each.name for each in self.networks}:
            raise ValueError("a curve is of a network that was not measured")
        return self


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
            found.append(read_record(path, Measurement))
        except InputError:
            continue
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
