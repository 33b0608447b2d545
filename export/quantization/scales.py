"""The scale of a population: how float weights round to integers, and the search for the best integer threshold.

A population has one scale s = theta / K for all projections into it, where K is its integer threshold, and each
projection an exponent e of its own. A weight w becomes `integers(w, s * 2**e, largest)`: the one rounding that
post-training quantization and quantization-aware training share. `METHODS` says which (K, e) are tried first. An
integrator has no threshold: its scale is searched for in the same way with a theta far above its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from kdsnn.network import (
    BIAS_BITS,
    DECAY_UNITY,
    MAX_BIAS_EXPONENT,
    MAX_EXPONENT,
    MEMBRANE_SHIFT,
    NEVER,
    THRESHOLD_BITS,
    Network,
    Neuron,
    Population,
    Projection,
    neuron_of,
)
from kdsnn.network.overflow import overflow

if TYPE_CHECKING:
    import torch

__all__ = [
    "LARGEST_BIAS",
    "METHODS",
    "Candidate",
    "Source",
    "bias_step",
    "candidates_of",
    "fit",
    "integers",
    "is_exact",
    "is_small_integer",
    "round_at",
    "sources_of",
    "yardstick",
]

LARGEST_BIAS = 2 ** (BIAS_BITS - 1) - 1  # mantissa
SHRINK = 0.99  # of K, where it has to come down
HEADROOM = 256.0  # thresholds of an integrator, of which it has none, for the search: in largest weights
PERCENTILE = 99.9  # of the magnitudes of the weights that are not zero
FINER = 16.0  # how far past the largest weight the search for the least error goes
FINER_STEP = 0.98  # of K, there
CLIPPED_OCTAVES = 3  # exponents tried below the one that clips nothing
SAMPLE = 2**14  # weights of a projection that the candidates are ranked on
FloatArray = npt.NDArray[np.float64]
Values = TypeVar("Values", FloatArray, "torch.Tensor")


@dataclass(frozen=True)
class Source:
    """A projection, its float weight for one unit of its source's message, and the largest message."""

    projection: Projection
    weight: FloatArray
    largest_message: int


@dataclass(frozen=True)
class Candidate:
    """An integer threshold, the float value of a weight unit, and an exponent for each projection."""

    threshold: int
    scale: float
    exponents: tuple[int, ...]


def integers(values: Values, step: Any, largest: int) -> Values:
    """`round(values / step)`, halves to even, clipped to `-largest..largest`; as floats, of numpy or torch.

    Args:
        values: float64.
        step: the value of one integer. For torch a tensor on the same device: CUDA multiplies by the reciprocal of a
            plain number, which is not the same to the bit.
        largest: magnitude.
    """
    rounded: Values = (values / step).round().clip(-largest, largest)
    return rounded


def bias_step(scale: float, exponent: int) -> float:
    """The float value of one unit of a bias mantissa."""
    return float(scale * 2.0 ** (exponent - MEMBRANE_SHIFT))


def sources_of(network: Network, population: Population, input_bits: int) -> list[Source]:
    """The projections into a population of a float network, for input messages of so many bits."""
    sources = []
    for projection in network.incoming(population.name):
        largest = 2**input_bits - 1 if projection.source == network.input.name else 1
        gain = 255 / largest if projection.source == network.input.name else 1.0  # full scale stays full scale
        sources.append(Source(projection, projection.op.weight * gain, largest))
    return sources


def is_small_integer(weight: FloatArray, largest: int) -> bool:
    """Whether all weights are integers already, of at most this magnitude."""
    return bool((weight == np.round(weight)).all() and np.abs(weight).max(initial=0) <= largest)


def is_exact(neuron: Neuron, weights: Sequence[FloatArray], largest: int) -> bool:
    """Whether a float population is exact at scale one: an OR pool, a relay, any sum of integers without a leak."""
    if neuron.bias.any() or not all(is_small_integer(w, largest) for w in weights):
        return False
    remembers_whole = neuron.decay_u == 1 and neuron.decay_v in (0, 1)
    fires_on_any = neuron.threshold < 1 and all((w >= 0).all() for w in weights)
    return remembers_whole or fires_on_any


def candidates_of(
    neuron: Neuron, weights: Sequence[FloatArray], largest: int, method: str
) -> tuple[list[Candidate], str]:
    """What to try for a population, the best first, and what keeps the best from being better."""
    if is_exact(neuron, weights, largest):
        threshold = int(np.floor(neuron.threshold)) if neuron.fires else NEVER
        return [Candidate(threshold, 1.0, (0,) * len(weights))], "exact"
    if neuron.fires:
        return METHODS[method](neuron.threshold, weights, largest)
    candidates, limited_by = METHODS[method](HEADROOM * yardstick(neuron, weights), weights, largest)
    return [replace(candidate, threshold=NEVER) for candidate in candidates], limited_by


def yardstick(neuron: Neuron, weights: Sequence[FloatArray]) -> float:
    """What errors of a float population are compared with: its threshold, or the largest weight of an integrator."""
    if neuron.fires:
        return float(neuron.threshold)
    return max(float(np.abs(w).max(initial=0)) for w in weights) or 1.0


def fit(
    population: Population, sources: Sequence[Source], candidate: Candidate, largest: int, timesteps: int
) -> tuple[Population, tuple[Projection, ...]] | str:
    """The integer population and its projections at one candidate, or what does not fit."""
    if max(candidate.exponents) > MAX_EXPONENT:
        return "weight bits"
    bias = float(np.abs(neuron_of(population).bias).max(initial=0)) / bias_step(candidate.scale, 0)
    bias_exponent = _exponent(bias, LARGEST_BIAS)
    if bias_exponent > MAX_BIAS_EXPONENT:
        return "bias bits"
    made = round_at(population, sources, candidate, bias_exponent, largest)
    incoming = [(p, source.largest_message) for p, source in zip(made[1], sources, strict=True)]
    return "overflow" if overflow(made[0], incoming, timesteps) else made


def round_at(
    population: Population, sources: Sequence[Source], candidate: Candidate, bias_exponent: int, largest: int
) -> tuple[Population, tuple[Projection, ...]]:
    """The integer population and its projections, rounded at given scales whether they fit or not."""
    neuron = neuron_of(population)
    projections = []
    for source, exponent in zip(sources, candidate.exponents, strict=True):
        weight = integers(source.weight, candidate.scale * 2**exponent, largest).astype(np.int16)
        op = replace(source.projection.op, weight=weight)
        projections.append(replace(source.projection, op=op, exponent=exponent))
    mantissa = integers(neuron.bias, bias_step(candidate.scale, bias_exponent), LARGEST_BIAS).astype(np.int32)
    model = Neuron(
        threshold=candidate.threshold,
        bias=mantissa,
        bias_exponent=bias_exponent,
        decay_u=round(neuron.decay_u * DECAY_UNITY),
        decay_v=round(neuron.decay_v * DECAY_UNITY),
        fires=neuron.fires,
    )
    return replace(population, model=model), tuple(projections)


def _exponent(value: float, largest: int) -> int:
    """The least exponent at which the value, halved so many times and rounded, is at most `largest`."""
    exponent = 0
    while np.round(value / 2**exponent) > largest:
        exponent += 1
    return exponent


# Methods: from theta, the weights and the largest integer to the candidates, the best first, and what limits the best.


def _largest_weight(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """The largest weight fills the bits: nothing is clipped."""
    return _filling(theta, [float(np.abs(w).max(initial=0)) for w in weights], largest)


def _percentile(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """A high percentile of the magnitudes fills the bits: the few weights beyond it are clipped."""
    magnitudes = [np.abs(w[w != 0]) for w in weights]
    return _filling(theta, [float(np.percentile(m, PERCENTILE)) if m.size else 0.0 for m in magnitudes], largest)


def _filling(theta: float, tops: Sequence[float], largest: int) -> tuple[list[Candidate], str]:
    smallest_top = min((t for t in tops if t > 0), default=theta)  # a silent layer fits any scale
    highest = 2**THRESHOLD_BITS - 1
    by_weights = int(theta * largest / smallest_top)
    candidates, threshold = [], min(max(by_weights, 1), highest)
    while threshold >= 1:
        scale = theta / threshold
        candidates.append(Candidate(threshold, scale, tuple(_exponent(top / scale, largest) for top in tops)))
        threshold = min(threshold - 1, int(threshold * SHRINK))
    return candidates, "weight bits" if by_weights <= highest else "threshold bits"


def _least_error(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """Least sum of squared errors, of rounding and of clipping; the candidates of `max` are among those tried.

    E(K) = sum over projections of min over e of sum (w - s * 2**e * integers(w, s * 2**e))**2, s = theta / K
    """
    safe, limited_by = _largest_weight(theta, weights, largest)
    samples = [_sample(w) for w in weights]
    if not any(s.any() for s in samples):
        return safe, limited_by
    ranked = [(_error(samples, c.exponents, c.scale, largest), c) for c in safe]
    top = safe[0].threshold
    finer, threshold = set(), min(int(top * FINER), 2**THRESHOLD_BITS - 1)
    while threshold > top:
        finer.add(threshold)
        threshold = min(threshold - 1, int(threshold * FINER_STEP))
    for threshold in finer | {c.threshold for c in safe}:
        scale = theta / threshold
        exponents = tuple(_best_exponent(s, scale, largest) for s in samples)
        candidate = Candidate(threshold, scale, exponents)
        ranked.append((_error(samples, exponents, scale, largest), candidate))
    ranked.sort(key=lambda pair: (float(f"{pair[0]:.9g}"), pair[1].threshold, pair[1].exponents))
    return [candidate for _, candidate in ranked], "weight error"


def _best_exponent(weight: FloatArray, scale: float, largest: int) -> int:
    clips_nothing = _exponent(float(np.abs(weight).max(initial=0)) / scale, largest)
    tried = range(max(0, clips_nothing - CLIPPED_OCTAVES), clips_nothing + 1)
    return min(tried, key=lambda e: _error([weight], (e,), scale, largest))


def _error(weights: Sequence[FloatArray], exponents: Sequence[int], scale: float, largest: int) -> float:
    total = 0.0
    for weight, exponent in zip(weights, exponents, strict=True):
        step = scale * 2**exponent
        total += float(np.sum((integers(weight, step, largest) * step - weight) ** 2))
    return total


def _sample(weight: FloatArray) -> FloatArray:
    """Evenly spaced order statistics of the weights, the extremes among them; all weights where they are few."""
    flat = weight.reshape(-1)
    if flat.size <= SAMPLE:
        return flat
    return np.sort(flat)[np.linspace(0, flat.size - 1, SAMPLE).astype(np.int64)]


Method = Callable[[float, Sequence[FloatArray], int], tuple[list[Candidate], str]]
METHODS: dict[str, Method] = {"max": _largest_weight, "mse": _least_error, "percentile": _percentile}
