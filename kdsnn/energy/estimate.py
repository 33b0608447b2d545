"""Energy from counts: each part is a count times a constant from an energy model.

These are estimates, and say so: `kind` is `simulated` or `estimated`, never `measured`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdsnn.display import Block, Displayed, Table
from kdsnn.energy.models import EnergyModel, EnergyPart
from kdsnn.network.counters import Counts

__all__ = ["EnergyReport", "estimate"]

PICO = 1e-12


@dataclass(frozen=True)
class EnergyReport(Displayed):
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

    def blocks(self) -> tuple[Block, ...]:
        """Joules by part, and where the constants are from."""
        joules = {**self.parts, "total": self.total_j_per_sample}
        if self.teacher_j_per_sample is not None:
            joules["the teacher's multiply-accumulates"] = self.teacher_j_per_sample
        rows = [(name, f"{1e6 * value:.4f}") for name, value in joules.items()]
        model = self.model
        table = Table(f"{model.title} ({model.kind})", ("part", "uJ a sample"), rows)
        return table, "\n".join((*model.notes, f"Source: {model.source}"))

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
