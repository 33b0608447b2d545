"""Energy from counts: each part is a count times a constant from an energy model, and static power times time.

These are estimates, and say so: `kind` is `simulated` or `estimated`, never `measured`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kdsnn.display import Block, Displayed, Table
from kdsnn.energy.deployment import Deployment, Traffic, step_s
from kdsnn.energy.models import HOPS, EnergyModel, EnergyPart
from kdsnn.energy.whole import Static, left_out_of, static_of
from kdsnn.network.counters import Counts

__all__ = ["EnergyReport", "estimate", "microjoules"]

PICO = 1e-12
FOUR_DIGITS = 0.01  # µJ: less would lose digits behind the fourth


@dataclass(frozen=True)
class EnergyReport(Displayed):
    """Estimated energy of one network under one model.

    Attributes:
        model: the constants.
        parts: joules per sample, by part: all that depends on what the network does.
        layers: the same joules per sample, by layer.
        teacher_j_per_sample: of the teacher's multiply-accumulates, where the model has a constant for them.
        static: static power times time, where power, chips and time are known.
        left_out: terms that are in none of the figures, each with the reason; with any there is no total.
    """

    model: EnergyModel
    parts: Mapping[str, float]
    layers: Mapping[str, float]
    teacher_j_per_sample: float | None
    static: Static | None = None
    left_out: tuple[str, ...] = ()

    @property
    def dynamic_j_per_sample(self) -> float | None:
        """Joules per sample, all parts together; None where the model has none."""
        return sum(self.parts.values()) if self.parts else None

    @property
    def total_j_per_sample(self) -> float | None:
        """Joules of a sample that runs alone: dynamic, and static over its latency. None where a term is unknown."""
        return self._total(self.static.alone_j if self.static else None)

    @property
    def streaming_j_per_sample(self) -> float | None:
        """Joules of a sample among many, back to back: dynamic, and static over the time between two of them."""
        return self._total(self.static.streaming_j if self.static else None)

    def _total(self, static: float | None) -> float | None:
        dynamic = self.dynamic_j_per_sample
        if dynamic is None or self.left_out:
            return None
        if self.model.static is None:
            return dynamic  # arithmetic alone, or an own model that adds nothing more
        return None if static is None else dynamic + static

    def blocks(self) -> tuple[Block, ...]:
        """Joules by part and as a whole, what is left out, and where the constants are from."""
        model = self.model
        least = self.minima()
        rows = [(f"{name}, at least" if name in least else name, microjoules(j)) for name, j in self.parts.items()]
        rows += [(name, microjoules(joules)) for name, joules in self._sums()]
        table = Table(f"{model.title} ({model.kind})", ("part", "µJ per sample"), rows)
        notes = [*(f"Not in it: {each}" for each in self.left_out), *model.notes, f"Source: {model.source}"]
        return table, "\n".join(notes)

    def minima(self) -> list[str]:
        """Names of the parts whose constant is a minimum."""
        return [part.name for part in self.model.parts if part.at_least and part.name in self.parts]

    def _sums(self) -> list[tuple[str, float | None]]:
        rows: list[tuple[str, float | None]] = []
        if self.model.static or self.model.missing:
            rows.append(("dynamic", self.dynamic_j_per_sample))
            static = self.static
            if static:
                rows.append((f"static, alone ({static.said(static.latency_s)})", static.alone_j))
                rows.append((f"static, streaming ({static.said(static.period_s)})", static.streaming_j))
            rows.append(("total, alone", self.total_j_per_sample))
            rows.append(("total, streaming", self.streaming_j_per_sample))
        else:
            rows.append(("total", self.total_j_per_sample))
        if self.teacher_j_per_sample is not None:
            rows.append(("the teacher's multiply-accumulates", self.teacher_j_per_sample))
        return rows

    def as_json(self) -> dict[str, Any]:
        """The `energy` object of `--json`."""
        return {
            "model": self.model.name,
            "kind": self.model.kind,
            "source": self.model.source,
            "dynamic_j_per_sample": self.dynamic_j_per_sample,
            "total_j_per_sample": self.total_j_per_sample,
            "streaming_j_per_sample": self.streaming_j_per_sample,
            "parts": dict(self.parts),
            "at_least": self.minima(),
            "layers": dict(self.layers),
            "static": None if self.static is None else asdict(self.static) | self.static.joules(),
            "left_out": list(self.left_out),
            "teacher_j_per_sample": self.teacher_j_per_sample,
            "notes": list(self.model.notes),
        }


def microjoules(joules: float | None) -> str | None:
    """A figure of a table in µJ: four digits after the point, or three that are not zero."""
    if joules is None:
        return None
    value = 1e6 * joules
    return f"{value:.4f}" if value >= FOUR_DIGITS or value == 0 else f"{value:.3g}"


def estimate(
    model: EnergyModel, counts: Counts, *, teacher_macs: int | None = None, deployment: Deployment | None = None
) -> EnergyReport:
    """The energy of a run, from its counts.

    Args:
        model: the constants.
        counts: of all samples.
        teacher_macs: multiply-accumulates of the teacher per sample.
        deployment: of the network on the model's chip. Without it a spike is one message and makes no hops, and static
            energy is unknown; both are named in `left_out`.
    """
    samples = counts.samples
    traffic = {} if deployment is None else deployment.traffic
    layers = {x.name: _with_derived(x.__dict__, traffic.get(x.name), samples) for x in counts.layers}
    hops = deployment is not None and deployment.chips == 1
    charged = tuple(part for part in model.parts if hops or not set(part.counts) & set(HOPS))
    has_teacher = teacher_macs is not None and model.teacher_mac_pj is not None
    step = None if deployment is None or model.chip is None else step_s(model.chip, deployment)
    return EnergyReport(
        model=model,
        parts={part.name: sum(_joules((part,), x) for x in layers.values()) / samples for part in charged},
        layers={name: _joules(charged, found) / samples for name, found in layers.items()},
        teacher_j_per_sample=teacher_macs * model.teacher_mac_pj * PICO if has_teacher else None,  # type: ignore[operator]
        static=static_of(model, deployment, step),
        left_out=left_out_of(model, deployment),
    )


def _with_derived(counts: Mapping[str, Any], traffic: Traffic | None, samples: int) -> dict[str, float]:
    """A layer's counts, with those that follow from them and from where its neurons lie."""
    if traffic is None:
        sent = {"messages": float(counts["spikes"]), "hops_east_west": 0.0, "hops_north_south": 0.0}
    else:
        sent = {name: samples * value for name, value in asdict(traffic).items()}
    return {**counts, "silent_updates": counts["neuron_updates"] - counts["spikes"], **sent}


def _joules(parts: tuple[EnergyPart, ...], counts: Mapping[str, float]) -> float:
    return sum(part.energy_pj * PICO * sum(counts[name] for name in part.counts) for part in parts)
