"""The search for a population's integers.

Exact ones where there are any, then those that change the fewest spikes, or the first of a method that fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from kdsnn.choices import METHODS
from kdsnn.errors import NetworkError
from kdsnn.export.quantization import scales
from kdsnn.export.quantization.candidates import Candidate, FloatArray, Measured, Method
from kdsnn.export.quantization.compensated import MOST_TAPS, compensated
from kdsnn.export.quantization.methods import largest_weight
from kdsnn.export.quantization.methods.fewest_changes import clipping_at
from kdsnn.export.quantization.observed import Observed
from kdsnn.export.quantization.scales import Source
from kdsnn.export.quantization.wide import shift_of
from kdsnn.network import Population, Projection, neuron_of

__all__ = ["Made", "find"]

BEST = 3  # candidates that are refined, and whose rounding is compensated
WORTH_CLIPPING = 0.0025  # of the neuron-steps, at least that are kept so: a network that clips runs on fewer machines
WORTH_CUTTING = 0.02  # the same for cutting weights of neurons that never forget; see `fewest_changes`
FINER = (-3 / 16, -1 / 8, -1 / 16, 1 / 16, 1 / 8, 3 / 16)  # octaves around the best


@dataclass(frozen=True)
class Made:
    """An integer population, the projections into it, the float value of a weight unit, and what limits that."""

    population: Population
    projections: tuple[Projection, ...]
    scale: float
    limited_by: str


@dataclass(frozen=True)
class _Trial:
    candidate: Candidate
    made: Made
    error: float
    weight_error: float

    @property
    def rank(self) -> tuple[float, float]:
        return (self.error, self.weight_error)


def find(
    population: Population,
    sources: Sequence[Source],
    largest: int,
    timesteps: int,
    method: str,
    observed: Observed | None,
) -> Made:
    """The integers of a population.

    Args:
        population: of a float network.
        sources: the projections into it.
        largest: integer weight.
        timesteps: T.
        method: name of one.
        observed: what a method that measures is measured on; without it the first of its candidates that fits is taken.

    Raises:
        NetworkError: it fits at no scale.
    """
    search = _Search(population, sources, largest, timesteps)
    for candidate in scales.exact_candidates(neuron_of(population), search.weights, largest):
        made = search.at(candidate, "exact")
        if isinstance(made, Made):
            return made
    clipping = replace(search, clips=True) if neuron_of(population).fires else None
    try:
        found = _found(search, method, observed)
    except NetworkError:
        if clipping is None:
            raise
        return _found(clipping, method, observed).made
    if clipping is not None and observed is not None and found.limited:
        other = _found(clipping, method, observed)
        if found.error - other.error > (0 if shift_of(largest) else WORTH_CLIPPING):  # wide weights: the error counts
            return other.made
    return found.made


@dataclass(frozen=True)
class _Found:
    made: Made
    error: float
    limited: bool  # whether a finer scale would overflow


def _found(search: _Search, method: str, observed: Observed | None) -> _Found:
    neuron, largest = neuron_of(search.population), search.largest
    ranked: Method | Measured = METHODS.get(method)
    candidates, limited_by = scales.candidates_of(neuron, search.weights, largest, ranked)
    if not isinstance(ranked, Measured):
        return _Found(search.first(candidates, limited_by), 0.0, limited=False)
    fitting = search.first(*scales.candidates_of(neuron, search.weights, largest, largest_weight.candidates))
    if observed is None or not any(w.any() for w in search.weights):
        return _Found(fitting, 0.0, limited=False)
    best = search.fewest_changes(candidates, fitting, observed)
    return _Found(best.made, best.error, fitting.limited_by == "overflow")


@dataclass(frozen=True)
class _Search:
    population: Population
    sources: Sequence[Source]
    largest: int
    timesteps: int
    clips: bool = False

    @property
    def weights(self) -> list[FloatArray]:
        return [source.weight for source in self.sources]

    def at(self, candidate: Candidate, limited_by: str, whole: Sequence[FloatArray | None] | None = None) -> Made | str:
        """The integers at a candidate, or what does not fit."""
        made = scales.fit(
            self.population, self.sources, candidate, self.largest, self.timesteps, whole, clips=self.clips
        )
        return made if isinstance(made, str) else Made(*made, candidate.scale, limited_by)

    def first(self, candidates: Sequence[Candidate], limited_by: str) -> Made:
        """The first candidate that fits. Where they come finest first, what is coarser than one that fits fits, too."""
        thresholds = [candidate.threshold for candidate in candidates]
        descending = all(a > b for a, b in pairwise(thresholds))
        made: Made | str = limited_by
        low, high, step = 0, 0, 1  # candidates before `low` do not fit
        while high < len(candidates):
            made = self.at(candidates[high], limited_by)
            if isinstance(made, Made):
                break
            limited_by = made
            low, high, step = high + 1, high + step, 2 * step if descending else 1
            if high >= len(candidates) > low:
                high = len(candidates) - 1
        if not isinstance(made, Made):
            raise NetworkError(
                f"population {self.population.name!r} fits the hardware's state at no scale ({limited_by})",
                hint="fewer inputs to a neuron, smaller biases or fewer time steps would make it fit",
            )
        while low < high:
            middle = (low + high) // 2
            found = self.at(candidates[middle], limited_by)
            if isinstance(found, Made):
                made, high = found, middle
            else:
                limited_by, low = found, middle + 1
        return replace(made, limited_by=limited_by)

    def fewest_changes(self, candidates: Sequence[Candidate], fitting: Made, observed: Observed) -> _Trial:
        """The best of the candidates and of what is around it, rounded plainly or with compensation.

        Neurons that are not reset to zero carry an error on. What cutting their largest weights changes is small on the
        float network's own spikes, and large once the layers before are rounded, too: it has to gain much.
        """
        if neuron_of(self.population).reset_by is None:
            return self._best(candidates, fitting, observed)
        whole = self._best([c for c in candidates if not self._cuts(c)], fitting, observed, cuts=False)
        if whole.error <= WORTH_CUTTING:
            return whole
        cut = self._best(candidates, fitting, observed)
        return cut if whole.error - cut.error > WORTH_CUTTING else whole

    def _cuts(self, candidate: Candidate) -> bool:
        """Whether a weight is beyond the largest integer at a candidate."""
        tops = (float(np.abs(w).max(initial=0)) for w in self.weights)
        steps = (candidate.scale * 2**exponent for exponent in candidate.exponents)
        return any(round(top / step) > self.largest for top, step in zip(tops, steps, strict=True))

    def _best(self, candidates: Sequence[Candidate], fitting: Made, observed: Observed, *, cuts: bool = True) -> _Trial:
        known = Candidate(
            int(neuron_of(fitting.population).threshold), fitting.scale, tuple(p.exponent for p in fitting.projections)
        )
        trials = [self._measured(known, fitting, observed)]
        trials += self._trials(candidates, observed)
        best = min(trials, key=lambda trial: trial.rank)
        neuron, theta = neuron_of(self.population), scales.theta_of(neuron_of(self.population), self.weights)
        share = self._share(best.candidate)
        around = [clipping_at(share * 2**octaves, theta, self.weights, self.largest) for octaves in FINER]
        if not neuron.fires:
            around = [scales.unlimited(candidate) for candidate in around]
        trials += self._trials([c for c in around if cuts or not self._cuts(c)], observed)
        trials.sort(key=lambda trial: trial.rank)
        if all(taps.shape[2] <= MOST_TAPS for taps in observed.taps):
            trials += [t for trial in trials[:BEST] if (t := self._compensated(trial.candidate, observed)) is not None]
        return min(trials, key=lambda trial: trial.rank)

    def _trials(self, candidates: Sequence[Candidate], observed: Observed) -> list[_Trial]:
        made = [(candidate, self.at(candidate, "spikes")) for candidate in candidates]
        return [self._measured(candidate, m, observed) for candidate, m in made if isinstance(m, Made)]

    def _compensated(self, candidate: Candidate, observed: Observed) -> _Trial | None:
        whole = [
            compensated(source.weight, taps, candidate.scale * 2**exponent, self.largest)
            for source, taps, exponent in zip(self.sources, observed.taps, candidate.exponents, strict=True)
        ]
        made = self.at(candidate, "spikes", whole)
        return self._measured(candidate, made, observed) if isinstance(made, Made) else None

    def _measured(self, candidate: Candidate, made: Made, observed: Observed) -> _Trial:
        lost = 0.0
        for projection, source in zip(made.projections, self.sources, strict=True):
            step = made.scale * 2**projection.exponent
            lost += float(np.sum((projection.op.weight * step - source.weight) ** 2))
        return _Trial(candidate, made, observed.error(made.population, made.projections, made.scale), lost)

    def _share(self, candidate: Candidate) -> float:
        """Of the largest weights, what fills the bits at a candidate."""
        tops = [(float(np.abs(w).max(initial=0)), e) for w, e in zip(self.weights, candidate.exponents, strict=True)]
        top, exponent = min((pair for pair in tops if pair[0] > 0), default=(1.0, 0))
        return float(candidate.scale * 2**exponent * self.largest / top)
