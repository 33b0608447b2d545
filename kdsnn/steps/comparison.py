"""What a comparison found: a row a network and target, and whether a limit is exceeded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kdsnn.data.identity import DataIdentity
from kdsnn.display import Block, Displayed, Table, percent
from kdsnn.energy.estimate import EnergyReport, microjoules
from kdsnn.energy.models import EnergyModel
from kdsnn.errors import UsageError, VerificationError
from kdsnn.evaluation.edges import verdict
from kdsnn.steps.simulated_energy import Simulated

__all__ = ["Compared", "Comparison", "Limits"]

SCHEMA = "kdsnn.comparison/1"
SAME, ITSELF = "every spike and every count equal", "the reference itself, nothing was compared"
ROUNDING = 1e-12  # a limit that is met exactly is met: the difference of two shares is rounded


@dataclass(frozen=True)
class Limits:
    """What may be lost against the baseline, as shares; None where nothing is asked.

    Raises:
        UsageError: a share is negative, or no finite number.
    """

    max_accuracy_drop: float | None = None
    max_energy_rise: float | None = None

    def __post_init__(self) -> None:
        for name, share in asdict(self).items():
            if share is not None and not 0 <= share < math.inf:
                raise UsageError(f"{name} is {share}, and must be a finite share, 0 at least", hint="0.1 is 10 %")


@dataclass(frozen=True)
class Compared:
    """One network on one target. Counts are per sample; weights are stored values, a kernel's once.

    Attributes:
        name: of the run or file.
        target: where it ran.
        fingerprint: of the network.
        samples: number of images.
        accuracy: share of right predictions; None without labels.
        agreement: share of the predictions that are the baseline's; None for the baseline itself.
        counts: by name, per sample.
        energy: estimated from them.
        simulated: energy and time, where the target simulates them.
        matches_reference: whether every spike and count was compared with the reference's; not of the reference itself.
        edges: what the network says of the edges before the target (`kdsnn.evaluation.edges`).
        samples_per_s: images a second that the target took here.
        neurons: relays among them.
        weights: of all projections.
        nonzero_weights: of those, other than zero.
        timesteps: of a sample.
    """

    name: str
    target: str
    fingerprint: str
    samples: int
    accuracy: float | None
    agreement: float | None
    counts: Mapping[str, float]
    energy: EnergyReport
    simulated: Simulated | None
    matches_reference: bool
    edges: Mapping[str, str]
    samples_per_s: float
    neurons: int
    weights: int
    nonzero_weights: int
    timesteps: int

    @property
    def title(self) -> str:
        """Of its column."""
        return f"{self.name}\non {self.target}"

    @property
    def verdict(self) -> str:
        """How far the proof reaches, from the module to this target."""
        return verdict(self.edges, self.target, SAME if self.matches_reference else ITSELF)

    @property
    def latency_s(self) -> float | None:
        """Of a sample that runs alone on the energy model's chip."""
        return self.energy.static.latency_s if self.energy.static else None

    def as_json(self) -> dict[str, Any]:
        """A row of `kdsnn compare --json`."""
        plain = ("name", "target", "fingerprint", "samples", "accuracy", "agreement", "samples_per_s")
        sizes = ("neurons", "weights", "nonzero_weights", "timesteps")
        return {
            **{name: getattr(self, name) for name in (*plain, *sizes)},
            "per_sample": dict(self.counts),
            "matches_reference": self.matches_reference,
            "edges": dict(self.edges),
            "latency_s": self.latency_s,
            "energy": self.energy.as_json(),
            "simulated": self.simulated.as_json() if self.simulated else None,
        }


@dataclass(frozen=True)
class Comparison(Displayed):
    """Networks side by side; the first row is the baseline.

    Attributes:
        rows: a network on a target each.
        model: that energies are estimated with.
        limits: that were asked for.
        data: the images.
    """

    rows: tuple[Compared, ...]
    model: EnergyModel
    limits: Limits
    data: DataIdentity

    @property
    def failures(self) -> tuple[str, ...]:
        """Every row that exceeds a limit, in words.

        Raises:
            UsageError: a limit asks for a figure that is not known.
        """
        found: list[str] = []
        first, *others = self.rows
        drop, rise = self.limits.max_accuracy_drop, self.limits.max_energy_rise
        for row in others:
            where = f"{row.name} on {row.target}"
            if drop is not None:
                lost = _known(first.accuracy, "accuracy") - _known(row.accuracy, "accuracy")
                if lost > drop + ROUNDING:
                    found.append(f"{where}: accuracy falls by {100 * lost:.2f} points, and may by {100 * drop:g}")
            if rise is not None:
                was, now = self._energies(first, row)
                if now > was * (1 + rise) * (1 + ROUNDING):
                    more = f"{100 * (now / was - 1):.1f}%" if was else "from nothing"
                    found.append(f"{where}: energy per sample rises by {more}, and may by {100 * rise:g}%")
        return tuple(found)

    def check(self) -> None:
        """Raises VerificationError where a limit is exceeded."""
        if self.failures:
            raise VerificationError("the comparison exceeds a limit", problems=self.failures)

    def _energies(self, first: Compared, row: Compared) -> tuple[float, float]:
        """The totals of both; where a total is not known, UsageError, since a part of it proves nothing."""
        totals = (first.energy.total_j_per_sample, row.energy.total_j_per_sample)
        missing = dict.fromkeys((*first.energy.left_out, *row.energy.left_out))
        hint = f"{self.model.name} does not know all of it here: {'; '.join(missing) or 'no total'}"
        return _known(totals[0], "energy", hint), _known(totals[1], "energy", hint)

    def blocks(self) -> tuple[Block, ...]:
        """A column a network and target, and what exceeds a limit."""
        rows = self.rows
        shown: list[tuple[str, list[Any]]] = [
            ("accuracy", [percent(r.accuracy) for r in rows]),
            ("same predictions as the first", [percent(r.agreement) for r in rows]),
            ("SynOps per sample, dense", [_count(r.counts["synops_dense"]) for r in rows]),
            ("SynOps per sample, effective", [_count(r.counts["synops_effective"]) for r in rows]),
            ("input MACs per sample", [_count(r.counts["input_macs"]) for r in rows]),
            ("spikes per sample", [_count(r.counts["spikes"]) for r in rows]),
            ("dynamic energy, µJ per sample", [microjoules(r.energy.dynamic_j_per_sample) for r in rows]),
            ("total energy, alone, µJ per sample", [microjoules(r.energy.total_j_per_sample) for r in rows]),
            ("total energy, streaming, µJ per sample", [microjoules(r.energy.streaming_j_per_sample) for r in rows]),
            ("latency, µs", [None if r.latency_s is None else f"{1e6 * r.latency_s:.1f}" for r in rows]),
            ("time steps", [r.timesteps for r in rows]),
            ("neurons", [r.neurons for r in rows]),
            ("weights", [r.weights for r in rows]),
            ("weights other than zero", [r.nonzero_weights for r in rows]),
        ]
        title = f"{rows[0].samples} images of {self.data.name}, energy and latency under {self.model.name}"
        table = Table(title, ("", *(row.title for row in rows)), [(what, *cells) for what, cells in shown])
        left_out = dict.fromkeys(each for row in rows for each in row.energy.left_out)
        lines = [f"{r.name} on {r.target}: {r.verdict}" for r in rows]
        lines += [f"Not in the energies: {each}" for each in left_out]
        lines += [f"EXCEEDS A LIMIT: {failure}" for failure in self.failures]
        return table, "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The object of `kdsnn compare --json`."""
        return {
            "schema": SCHEMA,
            "data": self.data.as_json(),
            "energy_model": self.model.name,
            "rows": [row.as_json() for row in self.rows],
            "limits": asdict(self.limits),
            "failures": list(self.failures),
        }


def _known(value: float | None, what: str, hint: str = "give images with labels") -> float:
    if value is None:
        raise UsageError(f"a limit on {what} needs a figure, and there is none", hint=hint)
    return value


def _count(value: float) -> str:
    return f"{value:,.1f}"
