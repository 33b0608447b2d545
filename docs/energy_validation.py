"""The page that holds energy models to measured points; `docs/generate.py` writes it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from kdsnn.energy.deployment import Deployment, Work, step_s
from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import EnergyModel, Sourced, energy_model_names, load_energy_model
from kdsnn.network.counters import FIELDS, Counts, LayerCounts

POINTS = Path(__file__).with_name("measured_points.toml")
HEAD = """
# Energy models beside measurements

Every energy model of KDSNN adds up constants of others. This page says where each constant is from, and how far the
sums are from what was measured on chips, wherever a measurement and its counts could be read. Nothing was fitted to a
measurement on this page; a point that were would stand apart, and not count in the mean.

"""


class Point(BaseModel):
    """A measured point: joules of a sample, or seconds of a step. Counts are (low, high)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    model: str
    quantity: Literal["dynamic energy", "time of a step"]
    role: Literal["fitted", "tested"]
    measured: float
    synops: tuple[float, float]
    updates: tuple[float, float]
    spikes: tuple[float, float] = (0, 0)
    cores: int = 1
    counts: str
    source: str

    @property
    def predicted(self) -> tuple[float, float]:
        """What the model gives for the low counts, and for the high ones."""
        model = load_energy_model(self.model)
        low, high = (self._one(model, end) for end in (0, 1))
        return low, high

    @property
    def errors(self) -> tuple[float, float]:
        """Predictions over the measurement, less one."""
        low, high = self.predicted
        return low / self.measured - 1, high / self.measured - 1

    def _one(self, model: EnergyModel, end: int) -> float:
        synops, updates, spikes = self.synops[end], self.updates[end], self.spikes[end]
        if self.quantity == "time of a step":
            assert model.chip is not None  # noqa: S101  the point names a model that has one
            idle = (Work(0, 0, 0),) * (self.cores - 1)
            found = step_s(model.chip, Deployment(1, (Work(synops, spikes, int(updates)), *idle), 1, 1, {}))
        else:
            counted = {"synops_dense": int(synops), "neuron_updates": int(updates), "spikes": int(spikes)}
            totals = {**dict.fromkeys(FIELDS, 0), **counted}
            layer = LayerCounts(name="all", kind="", neurons=1, relay=False, **totals)
            found = estimate(model, Counts(1, (layer,))).dynamic_j_per_sample
        assert found is not None  # noqa: S101  of one chip, under a model with parts
        return found


def points() -> list[Point]:
    """All measured points."""
    return [Point.model_validate(each) for each in tomllib.loads(POINTS.read_text())["points"]]


def mean_error(tested: list[Point]) -> float:
    """The mean of absolute errors; of a range, the mean of both ends."""
    return sum((abs(p.errors[0]) + abs(p.errors[1])) / 2 for p in tested) / len(tested)


def validation_page() -> str:
    """The page."""
    found = points()
    tested, fitted = ([p for p in found if p.role == role] for role in ("tested", "fitted"))
    energies = [p for p in tested if p.quantity == "dynamic energy"]
    parts = [HEAD, "## Points that nothing was fitted to\n\n", _table(tested)]
    parts.append(
        f"\nMean absolute error of these {len(tested)} points: **{100 * mean_error(tested):.0f} %**; of the "
        f"{len(energies)} energies: {100 * mean_error(energies):.0f} %. Where counts are a range, both ends of the "
        "prediction count by half.\n\n"
    )
    parts.append("## Points that constants were fitted to\n\n")
    parts.append(_table(fitted) if fitted else "None.\n")
    parts.append("\nWhat the counts are, and where each was read:\n\n")
    parts += [f"- {p.title}: {p.counts}. {_sentence(p.source)}\n" for p in found]
    parts.append("\n## Measurements that could not be used\n\n")
    left_out = tomllib.loads(POINTS.read_text())["left_out"]
    parts += [f"- {each['title']}: {each['why']}.\n" for each in left_out]
    parts.append("\n## Every constant\n")
    parts += [_constants(load_energy_model(name)) for name in energy_model_names()]
    return "".join(parts)


def _table(rows: list[Point]) -> str:
    lines = ["| measured | model | quantity | measurement | prediction | error |", "|---|---|---|---|---|---|"]
    for p in rows:
        unit, scale = ("mJ", 1e3) if p.quantity == "dynamic energy" else ("µs", 1e6)
        low, high = (f"{scale * x:.4g}" for x in p.predicted)
        predicted = low if low == high else f"{low} to {high}"
        errors = " to ".join(dict.fromkeys(f"{100 * x:+.0f} %" for x in p.errors))
        cells = (p.title, f"`{p.model}`", p.quantity, f"{scale * p.measured:.4g} {unit}", f"{predicted} {unit}", errors)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _constants(model: EnergyModel) -> str:
    rows: list[tuple[str, str, Sourced]] = [
        (part.name, f"{'≥ ' if part.at_least else ''}{part.energy_pj:g} pJ", part) for part in model.parts
    ]
    if model.teacher_mac_pj is not None:
        rows.append(("a teacher's multiply-accumulate", f"{model.teacher_mac_pj:g} pJ", Sourced()))
    if model.static is not None:
        rows.append(("static power", f"{1e3 * model.static.chip_w:g} mW a chip", model.static))
    if model.chip is not None:
        for name, value in model.chip.time_ns.model_dump(exclude={"kind", "source", "date"}).items():
            shown = " to ".join(f"{x:g}" for x in value) if isinstance(value, tuple) else f"{value:g}"
            rows.append((f"time: {name.replace('_', ' ')}", f"{shown} ns", model.chip))
    cells = [f"| {name} | {value} | {said.kind} | {_from(said, model)} |" for name, value, said in rows]
    cells += [f"| {each.term} | not known | | {each.why} |" for each in model.missing]
    lines = "\n".join(("| constant | value | kind | source |", "|---|---|---|---|", *cells))
    notes = "\n".join(f"- {note}" for note in model.notes)
    return f"\n### `{model.name}`: {model.title}\n\n[1] {model.source} ({model.date})\n\n{lines}\n\n{notes}\n"


def _from(said: Sourced, model: EnergyModel) -> str:
    return "[1]" if said.source is None else f"{said.source} ({said.date or model.date})"


def _sentence(text: str) -> str:
    text = text.removesuffix(".")
    return f"{text[0].upper()}{text[1:]}."
