"""Energy from counts: each part is a count times a constant from an energy model, a TOML file with sources.

These are estimates, and say so: `kind` is `simulated` or `estimated`, never `measured`.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError, UsageError
from kdsnn.network.counters import Counts

__all__ = ["EnergyModel", "EnergyPart", "EnergyReport", "energy_model_names", "estimate", "load_energy_model"]

PICO = 1e-12
COUNTS = ("spikes", "synops_dense", "synops_effective", "input_macs", "neuron_updates", "silent_updates")


@dataclass(frozen=True)
class EnergyPart:
    """One constant: `energy_pj` picojoules for each of the counts named."""

    name: str
    counts: tuple[str, ...]
    energy_pj: float


@dataclass(frozen=True)
class EnergyModel:
    """The constants of one technology, with where they come from.

    Attributes:
        account: what its figures are of; those of one account can be compared, and may share an axis.
    """

    name: str
    title: str
    account: str
    kind: str
    source: str
    date: str
    notes: tuple[str, ...]
    parts: tuple[EnergyPart, ...]
    teacher_mac_pj: float | None


@dataclass(frozen=True)
class EnergyReport:
    """Estimated energy of one network under one model.

    Attributes:
        model: the constants.
        parts: joules a sample, by part.
        layers: joules a sample, by layer.
        teacher_j_per_sample: of the teacher's multiply-accumulates, where the model has a constant for them.
    """

    model: EnergyModel
    parts: Mapping[str, float]
    layers: Mapping[str, float]
    teacher_j_per_sample: float | None

    @property
    def total_j_per_sample(self) -> float:
        """Joules a sample, all parts together."""
        return sum(self.parts.values())

    def as_json(self) -> dict[str, Any]:
        """The `energy` object of `--json`."""
        return {
            "model": self.model.name,
            "kind": self.model.kind,
            "source": self.model.source,
            "total_j_per_sample": self.total_j_per_sample,
            "parts": dict(self.parts),
            "layers": dict(self.layers),
            "teacher_j_per_sample": self.teacher_j_per_sample,
            "notes": list(self.model.notes),
        }


def estimate(model: EnergyModel, counts: Counts, *, teacher_macs: int | None = None) -> EnergyReport:
    """The energy of a run, from its counts."""
    samples = counts.samples
    totals = _with_derived(counts.totals())
    layers = {layer.name: _joules(model.parts, _with_derived(layer.__dict__)) / samples for layer in counts.layers}
    has_teacher = teacher_macs is not None and model.teacher_mac_pj is not None
    return EnergyReport(
        model=model,
        parts={part.name: _joules((part,), totals) / samples for part in model.parts},
        layers=layers,
        teacher_j_per_sample=teacher_macs * model.teacher_mac_pj * PICO if has_teacher else None,  # type: ignore[operator]
    )


def _with_derived(counts: Mapping[str, Any]) -> dict[str, int]:
    return {**counts, "silent_updates": counts["neuron_updates"] - counts["spikes"]}


def _joules(parts: tuple[EnergyPart, ...], counts: Mapping[str, int]) -> float:
    return sum(part.energy_pj * PICO * sum(counts[name] for name in part.counts) for part in parts)


def energy_model_names() -> list[str]:
    """Names of the models that ship with the package."""
    folder = files("kdsnn.energy")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_energy_model(name: str) -> EnergyModel:
    """A model that ships with the package, by name, or one's own, by the path of its TOML file.

    Raises:
        UsageError: there is no such model.
        InputError: the file is not a valid model.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no energy model file {name}")
        text, name = path.read_bytes(), path.stem
    elif name in energy_model_names():
        text = (files("kdsnn.energy") / f"{name}.toml").read_bytes()
    else:
        names = energy_model_names()
        close = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no energy model {name!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"models are: {', '.join(names)}",
        )
    return _parse(name, text)


def _parse(name: str, text: bytes) -> EnergyModel:
    try:
        data = tomllib.loads(text.decode())
        parts = tuple(EnergyPart(p["name"], tuple(p["count"]), float(p["energy_pj"])) for p in data["parts"])
        mac = data.get("teacher", {}).get("multiply_accumulate_pj")
        model = EnergyModel(
            name=name,
            title=str(data["title"]),
            account=str(data.get("account", name)),  # one that names none stands alone
            kind=str(data["kind"]),
            source=str(data["source"]),
            date=str(data["date"]),
            notes=tuple(map(str, data.get("notes", ()))),
            parts=parts,
            teacher_mac_pj=None if mac is None else float(mac),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"energy model {name!r} is not valid: {type(error).__name__}: {error}") from error
    problems = [
        f"part {part.name!r}: there is no count {count!r}; counts are {', '.join(COUNTS)}"
        for part in parts
        for count in part.counts
        if count not in COUNTS
    ]
    problems += [
        f"part {p.name!r}: {p.energy_pj} pJ is not a positive number"
        for p in parts
        if not (math.isfinite(p.energy_pj) and p.energy_pj >= 0)
    ]
    if problems:
        raise InputError(f"energy model {name!r} is not valid", problems=problems)
    return model
