"""What a target that simulates energy and time found: its joules by part, and static power over its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kdsnn.display import Block, Displayed, Table
from kdsnn.energy.estimate import microjoules
from kdsnn.evaluation import Evaluation

__all__ = ["Simulated", "simulated_by"]

PREFIX, SUFFIX = "energy_", "_j"  # of the notes of a target that simulates energy: joules of all samples, by part


@dataclass(frozen=True)
class Simulated(Displayed):
    """Energy and time that a target simulated.

    Attributes:
        target: its name.
        parts: joules per sample, by part.
        static_w: watts that its chips take while they do nothing; None where it does not say.
        latency_s: of a sample that runs alone; None where it does not say.
        period_s: between two samples in a stream; likewise.
    """

    target: str
    parts: Mapping[str, float]
    static_w: float | None
    latency_s: float | None
    period_s: float | None

    @property
    def dynamic_j(self) -> float:
        """Joules per sample, all parts together."""
        return sum(self.parts.values())

    def total_j(self, seconds: float | None) -> float | None:
        """Joules per sample, with static power over so many seconds; None where either is unknown."""
        if self.static_w is None or seconds is None:
            return None
        return self.dynamic_j + self.static_w * seconds

    def blocks(self) -> tuple[Block, ...]:
        """Joules by part and as a whole, and the time of a sample."""
        rows = [(name, microjoules(joules)) for name, joules in self.parts.items()]
        rows.append(("dynamic", microjoules(self.dynamic_j)))
        lines = []
        ways = {"alone": self.latency_s, "streaming": self.period_s}
        for way, seconds in ways.items():
            if self.static_w is not None and seconds is not None:
                what = f"static, {way} ({1e3 * self.static_w:.4g} mW, {1e6 * seconds:.1f} µs)"
                rows.append((what, microjoules(self.static_w * seconds)))
        rows += [(f"total, {way}", microjoules(self.total_j(seconds))) for way, seconds in ways.items()]
        if self.static_w is None:
            lines.append(f"Not in it: static energy; {self.target} does not say what its chips take at rest")
        if self.latency_s is not None and self.period_s is not None:
            latency, period = 1e6 * self.latency_s, 1e6 * self.period_s
            lines.append(f"latency of a sample {latency:.1f} µs; one every {period:.1f} µs in a stream")
        table = Table(f"simulated by {self.target}", ("part", "µJ per sample"), rows)
        return (table, "\n".join(lines)) if lines else (table,)

    def as_json(self) -> dict[str, Any]:
        """The `simulated` object of `kdsnn energy --json`."""
        return {
            "target": self.target,
            "parts": dict(self.parts),
            "dynamic_j_per_sample": self.dynamic_j,
            "static_w": self.static_w,
            "total_j_per_sample": self.total_j(self.latency_s),
            "streaming_j_per_sample": self.total_j(self.period_s),
            "latency_s": self.latency_s,
            "period_s": self.period_s,
        }


def simulated_by(result: Evaluation) -> Simulated | None:
    """What the notes of an evaluation say of energy and time; None where the target simulates none."""
    notes = result.notes
    parts = {
        name.removeprefix(PREFIX).removesuffix(SUFFIX): joules / result.samples
        for name, joules in notes.items()
        if name.startswith(PREFIX) and name.endswith(SUFFIX)
    }
    if not parts:
        return None
    times = [notes[name] / result.samples for name in ("latency_s", "simulated_s") if name in notes]
    latency, period = times if len(times) == 2 else (None, None)
    return Simulated(result.target, parts, notes.get("static_w"), latency, period)
