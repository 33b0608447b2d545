"""How accurate the networks of a run stay under noise: teacher, float student, and integer network on a target.

Noise on images (`kdsnn.data.image_noise`) is seen by all of them, the same images by each. Faults of the machine
(`kdsnn.noise.faults`) happen to integer networks alone. Training knows of neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from kdsnn.choices import NOISES
from kdsnn.data.datasets import Split
from kdsnn.data.encoders import encoded
from kdsnn.data.image_noise import add_noise
from kdsnn.distill.accuracy import accuracy
from kdsnn.errors import DoesNotFitError
from kdsnn.evaluation import evaluate
from kdsnn.network import Network
from kdsnn.noise.faults import SPIKE_DROP, flip_bits, lose_spikes
from kdsnn.noise.plan import Study, Subject, is_on_images
from kdsnn.targets.base import Progress
from kdsnn.targets.fitting import violations
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget

__all__ = ["Curve", "Point", "Robustness", "measure"]

SCHEMA = "kdsnn.noise/1"


@dataclass(frozen=True)
class Point:
    """Accuracy at one level.

    Attributes:
        level: see `Kind`.
        accuracies: for each seed of the noise, or None where the target refused the network; one at level 0.
        refused: why, for each that was refused.
    """

    level: float
    accuracies: tuple[float | None, ...]
    refused: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """Over the seeds; None where one was refused, for those left are a selection."""
        known = [a for a in self.accuracies if a is not None]
        return fmean(known) if len(known) == len(self.accuracies) else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation over the seeds; None for a single one, or where one was refused."""
        known = [a for a in self.accuracies if a is not None]
        return stdev(known) if len(known) == len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Curve:
    """Accuracy of one network by level of one kind of noise, from level 0 on.

    Attributes:
        kind: of noise.
        network: name of the subject.
        evaluator: what ran it: a target, or `torch, float`.
        compared: whether every spike and count was compared with the reference, and equal.
        points: one a level.
    """

    kind: str
    network: str
    evaluator: str
    compared: bool
    points: tuple[Point, ...]

    def as_json(self) -> dict[str, Any]:
        """All figures by name."""
        points = [
            {
                "level": p.level,
                "mean": p.mean,
                "spread": p.spread,
                "accuracies": list(p.accuracies),
                "refused": list(p.refused),
            }
            for p in self.points
        ]
        return {
            "network": self.network,
            "evaluator": self.evaluator,
            "matches_reference": self.compared,
            "points": points,
        }


@dataclass(frozen=True)
class Robustness:
    """What was measured in a study."""

    study: Study
    curves: tuple[Curve, ...]

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        study = self.study
        networks = [
            {
                "name": s.name,
                "run": s.run,
                "fingerprint": s.network.fingerprint() if isinstance(s.network, Network) else None,
            }
            for s in study.subjects
        ]
        noise = [
            {
                "kind": kind,
                "level": NOISES.get(kind).level,
                "curves": [curve.as_json() for curve in self.curves if curve.kind == kind],
            }
            for kind in study.levels
        ]
        return {
            "schema": SCHEMA,
            "dataset": study.shown.identity.name,
            "samples": len(study.images),
            "seeds": study.seeds,
            "target": study.target.name,
            "settings": study.target.settings,
            "data": study.shown.identity.as_json(),
            "networks": networks,
            "noise": noise,
        }


def measure(study: Study, *, progress: Progress | None = None) -> Robustness:
    """Measures every accuracy of a study; integer networks are compared with the reference, as `evaluate` does it.

    Args:
        study: what to measure.
        progress: called with the number of evaluations done.

    Raises:
        VerificationError: the first spike or count in which the target differs from the reference.
        DoesNotFitError: the target refused every network with flipped bits, and nothing else was asked for.
    """
    found: dict[tuple[str, str, float], list[float | str]] = {}
    for done, (kind, level, name, outcome) in enumerate(_outcomes(study), 1):
        found.setdefault((kind, name, level), []).append(outcome)
        if progress:
            progress(done)
    noisy = [outcome for (kind, *_), outcomes in found.items() for outcome in outcomes if kind]
    refused = [outcome for outcome in noisy if isinstance(outcome, str)]
    if refused and len(refused) == len(noisy):
        raise DoesNotFitError(
            f"target {study.target.name!r} refuses all {len(noisy)} networks with flipped bits",
            problems=refused[:5],
            hint="take smaller levels",
        )
    curves = []
    for kind, levels in study.levels.items():
        for subject in study.seen_by(kind):
            clean = _point(0.0, found["", subject.name, 0.0])
            points = (clean, *(_point(level, found[kind, subject.name, level]) for level in levels))
            curves.append(Curve(kind, subject.name, *_evaluator(study, subject, kind), points))
    return Robustness(study, tuple(curves))


def _evaluator(study: Study, subject: Subject, kind: str) -> tuple[str, bool]:
    """What runs a subject, and whether it is compared with the reference."""
    if not isinstance(subject.network, Network):
        return "torch, float", False
    return (ReferenceTarget.name, False) if NOISES.get(kind) is SPIKE_DROP else (study.target.name, True)


def _outcomes(study: Study) -> Iterator[tuple[str, float, str, float | str]]:
    """Kind, level, subject, and the accuracy or why there is none. Kind '' is no noise."""
    for subject in study.subjects:
        yield "", 0.0, subject.name, _accuracy(study, subject.network, study.images)
    for kind, level, seed in _draws(study):
        on_images = is_on_images(kind)
        images = add_noise(kind, study.images, level, seed) if on_images else study.images
        for subject in study.seen_by(kind):
            fault = None if on_images else _faulty(study, subject, kind, level, seed)
            yield kind, level, subject.name, _accuracy(study, subject.network, images) if fault is None else fault


def _draws(study: Study) -> Iterator[tuple[str, float, int]]:
    for kind, levels in study.levels.items():
        for level, seed in product(levels, range(study.seeds)):
            yield kind, level, seed


def _accuracy(study: Study, network: nn.Module | Network, images: npt.NDArray[np.uint8]) -> float:
    if not isinstance(network, Network):
        return accuracy(network, Split(images, study.labels))  # a student encodes them itself, a teacher needs no code
    shown = encoded(images, study.encode, network.timesteps)
    known = evaluate(network, study.target, shown, study.labels).accuracy
    assert known is not None  # noqa: S101  there are labels
    return known


def _faulty(study: Study, subject: Subject, kind: str, level: float, seed: int) -> float | str:
    network = subject.network
    assert isinstance(network, Network)  # noqa: S101  see Study.seen_by
    if NOISES.get(kind) is SPIKE_DROP:
        shown = encoded(study.images, study.encode, network.timesteps)
        result = ReferenceProgram(network, lose_spikes(level, seed)).run(shown)
        return float((result.predictions == study.labels).mean())
    flipped = flip_bits(network, level, seed, subject.weight_bits)
    if found := violations(study.target, flipped):
        return f"{subject.name}, level {level:g}, seed {seed}: {'; '.join(map(str, found))}"
    return _accuracy(study, flipped, study.images)


def _point(level: float, outcomes: Sequence[float | str]) -> Point:
    accuracies = tuple(None if isinstance(outcome, str) else outcome for outcome in outcomes)
    return Point(level, accuracies, tuple(outcome for outcome in outcomes if isinstance(outcome, str)))
