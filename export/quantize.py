"""Post-training quantization: a float network becomes an integer network that can neither wrap nor clip.

Each population has one threshold, so the projections into it share one scale s = theta / K, where the integer K is the
new threshold: a weight w becomes round(w / (s * 2**e)) with an exponent e of its own projection. Potentials are
integers and the test is strict, so K = theta / s is exact. K is as large as the bits of the weights allow, then
lowered until the bias fits its 13 bits and `kdsnn.bounds` proves that no image can overflow the state.

Where 8-bit pixels enter, the bound costs weight bits; fewer input bits cost pixel precision instead. The choice is made
by the error that each makes in the first population's drive on calibration images, and reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kdsnn.bounds import overflow
from kdsnn.errors import InputError, NetworkError
from kdsnn.linear import apply
from kdsnn.network import (
    BIAS_BITS,
    DECAY_UNITY,
    MAX_BIAS_EXPONENT,
    MAX_EXPONENT,
    MEMBRANE_SHIFT,
    THRESHOLD_BITS,
    WEIGHT_BITS,
    Input,
    Network,
    Neuron,
    Population,
    Projection,
    neuron_of,
)

__all__ = ["InputTrial", "LayerQuantization", "QuantizationReport", "quantize"]

SHRINK = 0.99  # of K, where it has to come down
INPUT_BITS_TRIED = (8, 7, 6, 5, 4)
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LayerQuantization:
    """How one population and the projections into it were quantized.

    Attributes:
        name: of the population.
        scale: of a weight unit: the float threshold over the integer one.
        threshold: the integer threshold.
        largest_weight: the largest magnitude that an integer weight took.
        weight_error: root mean square of the weights' rounding error, over their root mean square.
        bias_exponent: of the bias mantissas.
        limited_by: what kept the scale from being finer: `weight bits`, `threshold bits`, `bias bits` or `overflow`;
            `exact` where the weights were integers already.
    """

    name: str
    scale: float
    threshold: int
    largest_weight: int
    weight_error: float
    bias_exponent: int
    limited_by: str


@dataclass(frozen=True)
class InputTrial:
    """What a width of the input messages costs: the drive's RMS error over the thresholds of what the input drives."""

    bits: int
    largest_weight: int
    drive_error: float


@dataclass(frozen=True)
class QuantizationReport:
    """How a network was quantized."""

    weight_bits: int
    input_bits: int
    input_trials: tuple[InputTrial, ...]
    layers: tuple[LayerQuantization, ...]


def quantize(
    network: Network,
    *,
    weight_bits: int = WEIGHT_BITS,
    input_bits: int | None = None,
    calibration: Images | None = None,
) -> tuple[Network, QuantizationReport]:
    """The integer network, and how it was made.

    Args:
        network: a float network.
        weight_bits: 2 to 8, signed and symmetric.
        input_bits: width of an input message; None chooses by the error on the calibration images, or 8 without them.
        calibration: images `(N, C, H, W)` uint8.

    Raises:
        NetworkError: the network is not float, or a population fits at no scale.
    """
    if network.integer:
        raise NetworkError("the network is an integer network already")
    if not 2 <= weight_bits <= WEIGHT_BITS:
        raise InputError(f"weight_bits must be 2 to {WEIGHT_BITS}, not {weight_bits}")
    trials: tuple[InputTrial, ...] = ()
    if input_bits is None:
        trials = () if calibration is None else _try_input_bits(network, weight_bits, calibration)
        input_bits = min(trials, key=lambda t: t.drive_error).bits if trials else 8
    populations = [replace(network.input, model=Input(input_bits))]
    projections: list[Projection] = []
    layers = []
    for population in network.spiking:
        done = _quantize_population(network, population, weight_bits, input_bits)
        populations.append(done.population)
        projections += done.projections
        layers.append(done.layer)
    order = {p.name: i for i, p in enumerate(network.projections)}
    integer = replace(
        network,
        populations=tuple(populations),
        projections=tuple(sorted(projections, key=lambda p: order[p.name])),
        integer=True,
        provenance={**network.provenance, "quantization": f"ptq, int{weight_bits} weights, {input_bits}-bit input"},
    )
    return integer, QuantizationReport(weight_bits, input_bits, trials, tuple(layers))


@dataclass(frozen=True)
class _Quantized:
    population: Population
    projections: tuple[Projection, ...]
    layer: LayerQuantization


@dataclass(frozen=True)
class _Source:
    """A projection, its float weight for one unit of its source's message, and the largest message."""

    projection: Projection
    weight: npt.NDArray[np.float64]
    largest_message: int


def _source(network: Network, projection: Projection, input_bits: int) -> _Source:
    if projection.source != network.input.name:
        return _Source(projection, projection.op.weight, 1)
    largest = 2**input_bits - 1
    return _Source(projection, projection.op.weight * (255 / largest), largest)  # full scale stays full scale


def _quantize_population(network: Network, population: Population, weight_bits: int, input_bits: int) -> _Quantized:
    neuron = neuron_of(population)
    sources = [_source(network, p, input_bits) for p in network.incoming(population.name)]
    weights = [source.weight for source in sources]
    largest = 2 ** (weight_bits - 1) - 1
    if all(_is_small_integer(w, largest) for w in weights) and not neuron.bias.any():
        candidates, limited_by = [(int(np.floor(neuron.threshold)), 1.0)], "exact"
    else:
        candidates, limited_by = _candidates(neuron.threshold, weights, largest)
    for threshold, scale in candidates:
        made = _at_scale(population, sources, threshold, largest, network.timesteps)
        if isinstance(made, str):
            limited_by = made
            continue
        new_population, projections = made
        layer = LayerQuantization(
            name=population.name,
            scale=scale,
            threshold=threshold,
            largest_weight=max(int(np.abs(p.op.weight).max(initial=0)) for p in projections),
            weight_error=_relative_error(weights, projections, scale),
            bias_exponent=neuron_of(new_population).bias_exponent,
            limited_by=limited_by,
        )
        return _Quantized(new_population, projections, layer)
    raise NetworkError(
        f"population {population.name!r} fits the hardware's state at no scale ({limited_by})",
        hint="fewer inputs to a neuron, smaller biases or fewer time steps would make it fit",
    )


def _is_small_integer(weight: npt.NDArray[np.float64], largest: int) -> bool:
    return bool((weight == np.round(weight)).all() and np.abs(weight).max(initial=0) <= largest)


def _candidates(
    theta: float, weights: Sequence[npt.NDArray[np.float64]], largest: int
) -> tuple[list[tuple[int, float]], str]:
    """Integer thresholds to try, the finest first, each with its scale; and what limits the finest."""
    tops = [float(np.abs(w).max(initial=0)) for w in weights]
    smallest_top = min((t for t in tops if t > 0), default=theta)  # a silent layer fits any scale
    highest = 2**THRESHOLD_BITS - 1
    by_weights = int(theta * largest / smallest_top)
    limited_by = "weight bits" if by_weights <= highest else "threshold bits"
    candidates, threshold = [], min(max(by_weights, 1), highest)
    while threshold >= 1:
        candidates.append((threshold, theta / threshold))
        threshold = min(threshold - 1, int(threshold * SHRINK))
    return candidates, limited_by


def _at_scale(
    population: Population, sources: Sequence[_Source], threshold: int, largest: int, timesteps: int
) -> tuple[Population, tuple[Projection, ...]] | str:
    """The population and its projections at one integer threshold, or what does not fit."""
    neuron = neuron_of(population)
    scale = neuron.threshold / threshold if threshold else 1.0
    projections = []
    for source in sources:
        exponent = _exponent(float(np.abs(source.weight).max(initial=0)) / scale, largest)
        if exponent > MAX_EXPONENT:
            return "weight bits"
        integers = np.round(source.weight / (scale * 2**exponent)).astype(np.int16)
        op = replace(source.projection.op, weight=integers)
        projections.append(replace(source.projection, op=op, exponent=exponent))
    bias = neuron.bias / scale * 2**MEMBRANE_SHIFT
    bias_limit = 2 ** (BIAS_BITS - 1) - 1
    bias_exponent = _exponent(float(np.abs(bias).max(initial=0)), bias_limit)
    if bias_exponent > MAX_BIAS_EXPONENT:
        return "bias bits"
    mantissa = np.round(bias / 2**bias_exponent).astype(np.int32)
    model = Neuron(
        threshold=threshold,
        bias=mantissa,
        bias_exponent=bias_exponent,
        decay_u=round(neuron.decay_u * DECAY_UNITY),
        decay_v=round(neuron.decay_v * DECAY_UNITY),
    )
    made = replace(population, model=model)
    incoming = [(p, source.largest_message) for p, source in zip(projections, sources, strict=True)]
    if overflow(made, incoming, timesteps):
        return "overflow"
    return made, tuple(projections)


def _exponent(value: float, largest: int) -> int:
    """The least exponent at which the value, halved so many times and rounded, is at most `largest`."""
    exponent = 0
    while np.round(value / 2**exponent) > largest:
        exponent += 1
    return exponent


def _relative_error(
    weights: Sequence[npt.NDArray[np.float64]], projections: Sequence[Projection], scale: float
) -> float:
    errors = [p.op.weight * (scale * 2**p.exponent) - w for p, w in zip(projections, weights, strict=True)]
    total = sum(float(np.sum(w**2)) for w in weights)
    return float(np.sqrt(sum(float(np.sum(e**2)) for e in errors) / total)) if total else 0.0


def _try_input_bits(network: Network, weight_bits: int, images: Images) -> tuple[InputTrial, ...]:
    """What each width of the input messages costs, on the populations that the input drives."""
    driven = [p for p in network.spiking if any(q.source == network.input.name for q in network.incoming(p.name))]
    trials = []
    for bits in INPUT_BITS_TRIED:
        errors, largest = [], 0
        for population in driven:
            try:
                done = _quantize_population(network, population, weight_bits, bits)
            except NetworkError:
                errors.append(float("inf"))
                continue
            errors.append(_drive_error(network, population, done, images, bits))
            largest = max(largest, done.layer.largest_weight)
        trials.append(InputTrial(bits, largest, max(errors)))
    return tuple(trials)


def _drive_error(network: Network, population: Population, done: _Quantized, images: Images, bits: int) -> float:
    """RMS of the error of one step's drive from the image, bias included, over the threshold."""
    wanted, got = neuron_of(population), neuron_of(done.population)
    error = (got.bias.astype(np.float64) * 2.0 ** (got.bias_exponent - MEMBRANE_SHIFT)) * done.layer.scale - wanted.bias
    total = np.broadcast_to(error.reshape(population.shape), (len(images), *population.shape)).copy()
    messages = (images >> np.uint8(8 - bits)).astype(np.float64)
    for exact, made in zip(network.incoming(population.name), done.projections, strict=True):
        if exact.source == network.input.name:
            total += apply(made.op, messages) * (done.layer.scale * 2**made.exponent)
            total -= apply(exact.op, images.astype(np.float64))
    return float(np.sqrt(np.mean(total**2)) / wanted.threshold)
