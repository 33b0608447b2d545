"""How an answer comes about over the time steps, and what it saves to stop early: operations and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdsnn.display import Block, Displayed, Table, percent
from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import EnergyModel, energy_model_names, load_energy_model
from kdsnn.errors import UsageError
from kdsnn.evaluation.steps import COUNTED, Steps
from kdsnn.evaluation.stopping import Stopped, at_first_spike, by_margin, usual_margins
from kdsnn.network import Network
from kdsnn.network.counters import FIELDS, Counts, LayerCounts

__all__ = ["Curve", "InTime", "Stop", "in_time"]

MOST_ROWS = 16  # of the table of steps
UNITS = {"rate": "spikes", "membrane": "potential"}
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """That answers are asked for after each step.

    Attributes:
        margins: leads to stop at, in spikes or in potential (64 to a weight unit); none takes usual ones.

    Raises:
        UsageError: a margin is less than one.
    """

    margins: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if any(margin < 1 for margin in self.margins):
            raise UsageError(f"a margin is 1 at least, not {min(self.margins)}", hint="a lead of 0 is a tie")


@dataclass(frozen=True)
class Stop:
    """One rule by which images stop, and what comes of it.

    Attributes:
        rule: `margin`, or `first-spike`.
        margin: by which the leading class must lead, in spikes or in potential (64 to a weight unit).
        accuracy: None without labels.
        agreement: share of the images with the same answer as after all steps.
        mean_steps: that an image runs.
        counts: of all images until they stop, per sample.
        dynamic_j: by energy model that has any: dynamic energy per sample; a spike is one message, without hops.
    """

    rule: Literal["margin", "first-spike"]
    margin: int | None
    accuracy: float | None
    agreement: float
    mean_steps: float
    counts: Mapping[str, float]
    dynamic_j: Mapping[str, float]


@dataclass(frozen=True)
class InTime(Displayed):
    """Answers after each step, and rules to stop by.

    Attributes:
        unit: of a lead: `spikes`, or `potential`.
        accuracies: after each step; empty without labels.
        agreements: after each step, the share of the images with the answer of the last.
        counts: in each step alone, per sample, by name, `(T,)` each.
        dynamic_j: of all steps, per sample, by energy model.
        stops: rules to stop by.
        steps: of each image.
    """

    unit: str
    accuracies: tuple[float, ...]
    agreements: tuple[float, ...]
    counts: Mapping[str, tuple[float, ...]]
    dynamic_j: Mapping[str, float]
    stops: tuple[Stop, ...]
    steps: Steps

    def as_json(self) -> dict[str, Any]:
        """All figures by name, without those of each image."""
        return {
            "unit": self.unit,
            "accuracy_by_step": list(self.accuracies) or None,
            "agreement_by_step": list(self.agreements),
            "counts_by_step": {name: list(values) for name, values in self.counts.items()},
            "dynamic_j_per_sample": dict(self.dynamic_j),
            "stops": [asdict(stop) for stop in self.stops],
        }

    def blocks(self) -> tuple[Block, ...]:
        """Answers by step, and what is saved by stopping."""
        shown = _few(len(self.agreements))
        synops = np.cumsum(np.add(self.counts["synops_dense"], self.counts["input_macs"]))
        rows = [
            (t + 1, percent(self.accuracies[t] if self.accuracies else None), percent(self.agreements[t]), f"{s:,.0f}")
            for t, s in zip(shown, synops[shown], strict=True)
        ]
        columns = ("after\nstep", "accuracy", "same as\nafter the last", "SynOps and\ninput MACs")
        steps = Table("answers in time", columns, rows)
        stops = Table(
            f"stopping early, by a lead in {self.unit}",
            ("rule", *columns[1:3], "mean\nsteps", columns[3], "saved", "energy saved,\nat least"),
            [self._row(stop, float(synops[-1])) for stop in self.stops],
        )
        models = ", ".join(self.dynamic_j) or "none"
        return steps, stops, f"energy: its dynamic part, by whichever model saves least of {models}"

    def _row(self, stop: Stop, whole: float) -> tuple[Any, ...]:
        rule = "first spike" if stop.margin is None else f"lead of {stop.margin:,}"
        done = stop.counts["synops_dense"] + stop.counts["input_macs"]
        shares = [_saved(stop.dynamic_j[name], joules) for name, joules in self.dynamic_j.items() if joules]
        return (
            rule,
            percent(stop.accuracy),
            percent(stop.agreement),
            f"{stop.mean_steps:.2f}",
            f"{done:,.0f}",
            percent(_saved(done, whole) if whole else None),
            percent(min(shares, default=None)),
        )


def in_time(
    network: Network,
    steps: Steps,
    counts: Counts,
    output_spikes: npt.NDArray[np.uint8],
    labels: Labels | None,
    margins: Sequence[int] = (),
) -> InTime:
    """What is known of a run in time.

    Args:
        network: that ran.
        steps: of all images.
        counts: of the run as a whole.
        output_spikes: `(N, T, classes)`.
        labels: `(N,)`.
        margins: leads to stop at, one at least each; none takes usual ones.
    """
    rate, last = network.readout == "rate", steps.predictions[:, -1]
    models = [model for name in energy_model_names() if (model := load_energy_model(name)).parts]
    constant = {field: counts.total(field) // steps.leads.size for field in FIELDS if field not in COUNTED}

    def judged(rule: Literal["margin", "first-spike"], margin: int | None, stopped: Stopped) -> Stop:
        until = np.arange(network.timesteps) < stopped.steps[:, None]
        done = (steps.counts * until[..., None]).sum(axis=(0, 1)).tolist()
        run = int(stopped.steps.sum())
        made = _as_counts(len(last), dict(zip(COUNTED, done, strict=True)) | {f: n * run for f, n in constant.items()})
        return Stop(
            rule=rule,
            margin=margin,
            accuracy=None if labels is None else float((stopped.predictions == labels).mean()),
            agreement=float((stopped.predictions == last).mean()),
            mean_steps=run / len(last),
            counts={field: made.total(field) / len(last) for field in FIELDS},
            dynamic_j=_dynamic(models, made),
        )

    tried = margins or usual_margins(steps.leads, of_spikes=rate)
    stops = [judged("margin", m, by_margin(steps.predictions, steps.leads, m)) for m in tried]
    if rate:
        stops.append(judged("first-spike", None, at_first_spike(output_spikes)))
    means = steps.counts.mean(axis=0)
    by_label = None if labels is None else (steps.predictions == labels[:, None]).mean(axis=0)
    return InTime(
        unit=UNITS[network.readout],
        accuracies=() if by_label is None else tuple(by_label.tolist()),
        agreements=tuple((steps.predictions == last[:, None]).mean(axis=0).tolist()),
        counts={name: tuple(means[:, i].tolist()) for i, name in enumerate(COUNTED)},
        dynamic_j=_dynamic(models, counts),
        stops=tuple(stops),
        steps=steps,
    )


def _as_counts(samples: int, totals: Mapping[str, int]) -> Counts:
    """Counts of all layers together, as one."""
    return Counts(samples, (LayerCounts(name="all", kind="", neurons=0, relay=False, **totals),))


def _dynamic(models: Sequence[EnergyModel], counts: Counts) -> dict[str, float]:
    found = {model.name: estimate(model, counts).dynamic_j_per_sample for model in models}
    return {name: joules for name, joules in found.items() if joules is not None}


def _saved(part: float, whole: float) -> float:
    """The share that is saved; sums of the same numbers in another order save nothing, not a little less."""
    return round(1 - part / whole, 9) + 0.0


def _few(steps: int) -> list[int]:
    """Steps to show, from 0: all of few, else ever farther apart, the last among them."""
    return sorted({round(t) - 1 for t in np.geomspace(1, steps, MOST_ROWS)} if steps > MOST_ROWS else range(steps))
