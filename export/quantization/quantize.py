"""Post-training quantization: a float network becomes an integer network that can neither wrap nor clip.

Each population has one threshold, so the projections into it share one scale s = theta / K, where the integer K is the
new threshold: a weight w becomes round(w / (s * 2**e)) with an exponent e of its own projection. Potentials are
integers and the test is strict, so K = theta / s is exact. `search.py` beside this file finds the K at which the bias
fits its 13 bits and no image can overflow the state (`kdsnn.network.overflow`).

Where 8-bit pixels enter, the bound costs weight bits; fewer input bits cost pixel precision instead. The choice is made
by the error that each makes in the first population's drive on calibration images, and reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kdsnn.choices import METHODS
from kdsnn.errors import InputError, NetworkError
from kdsnn.export.quantization import scales
from kdsnn.export.quantization.candidates import Candidate, Measured
from kdsnn.export.quantization.observed import Observer
from kdsnn.export.quantization.scales import Source
from kdsnn.export.quantization.search import Made, find
from kdsnn.export.quantization.wide import largest_weight, synapses
from kdsnn.network import (
    DECAY_UNITY,
    MEMBRANE_SHIFT,
    WEIGHT_BITS,
    Input,
    Network,
    Neuron,
    Population,
    Projection,
    neuron_of,
)
from kdsnn.network.linear_maps import apply
from kdsnn.network.widths import problem_of_width

__all__ = ["InputTrial", "LayerQuantization", "QuantizationReport", "quantize", "requantize"]

INPUT_BITS_TRIED = (8, 7, 6, 5, 4)
Images = npt.NDArray[np.uint8]
MOST_FRAMES = 512  # on which the widths of an input message are tried


@dataclass(frozen=True)
class LayerQuantization:
    """How one population and the projections into it were quantized.

    Attributes:
        name: of the population.
        scale: of a weight unit: the float threshold over the integer one.
        threshold: the integer threshold; `kdsnn.network.NEVER` for an integrator.
        largest_weight: the largest magnitude that an integer weight took.
        weight_error: root mean square of the weights' error of rounding and clipping, over their root mean square.
        bias_exponent: of the bias mantissas.
        limited_by: what kept the scale from being finer: `weight bits`, `weight error` (a finer one clips more than it
            gains), `threshold bits`, `bias bits` or `overflow`; `exact` where the weights were integers already.
        clipped: share of the weights whose magnitude was cut to the largest integer.
        bias_error: largest error of rounding a bias, over the threshold (an integrator's largest weight). The threshold
            itself is exact.
        clips: whether its potential may clip from below.
        decay_error: largest error of rounding decay_u and decay_v to 12 bits, as a share of the state lost in a step.
    """

    name: str
    scale: float
    threshold: int
    largest_weight: int
    weight_error: float
    bias_exponent: int
    limited_by: str
    clipped: float
    bias_error: float
    decay_error: float
    clips: bool = False


@dataclass(frozen=True)
class InputTrial:
    """What a width of the input messages costs: the drive's RMS error over the thresholds of what the input drives.

    Of an integrator, over its largest weight.
    """

    bits: int
    largest_weight: int
    drive_error: float


@dataclass(frozen=True)
class QuantizationReport:
    """How a network was quantized. `method` is one of `kdsnn.choices.METHODS`."""

    weight_bits: int
    input_bits: int
    input_trials: tuple[InputTrial, ...]
    layers: tuple[LayerQuantization, ...]
    method: str


def quantize(
    network: Network,
    *,
    weight_bits: int = WEIGHT_BITS,
    input_bits: int | None = None,
    calibration: Images | None = None,
    method: str = "max",
) -> tuple[Network, QuantizationReport]:
    """The integer network, and how it was made.

    Args:
        network: a float network.
        weight_bits: 2 to 8, signed and symmetric; 9 to 15 in two synapses, see `wide.py`.
        input_bits: width of an input message; None chooses by the error on the calibration images, or 8 without them.
        calibration: images `(N, *image_shape)` uint8.
        method: what the scale is chosen by: `spikes` (the fewest that change on the calibration images), `max` (the
            largest weight fills the bits), `percentile` (a high percentile does, the few beyond it are clipped) or
            `mse` (least squared error of the weights, clipping included). Where integers can be exact, all take these.

    Raises:
        InputError: there is no such width.
        UsageError: there is no such method.
        NetworkError: the network is not float, or a population fits at no scale.
    """
    _check(network, weight_bits)
    measured = isinstance(METHODS.get(method), Measured)
    trials: tuple[InputTrial, ...] = ()
    if input_bits is None:
        quick = "max" if measured else method
        trials = () if calibration is None else _try_input_bits(network, weight_bits, calibration, quick)
        input_bits = min(trials, key=lambda t: t.drive_error).bits if trials else 8
    observer = Observer(network, calibration) if measured and calibration is not None else None
    made = [_quantize_population(network, p, weight_bits, input_bits, method, observer) for p in network.spiking]
    kind = "ptq" if method == "max" else f"ptq ({method})"
    text = f"{kind}, int{weight_bits} weights, {input_bits}-bit input"
    integer = _assemble(network, made, weight_bits, input_bits, text)
    return integer, QuantizationReport(weight_bits, input_bits, trials, tuple(q.layer for q in made), method)


def requantize(network: Network, like: Network, report: QuantizationReport) -> tuple[Network, QuantizationReport]:
    """A float network rounded at the thresholds, exponents and input width of an integer network, and how.

    What quantization-aware training ends with: `like` is where it began. Nothing is searched and no bound is checked;
    ask `kdsnn.network.overflow.overflows`.

    Args:
        network: a float network.
        like: an integer network of the same populations and projections.
        report: how `like` was made.
    """
    _check(network, report.weight_bits)
    largest = largest_weight(report.weight_bits)
    made = []
    for population, old in zip(network.spiking, report.layers, strict=True):
        neuron = neuron_of(like.population(population.name))
        exponents = tuple(p.exponent for p in like.incoming(population.name))
        candidate = Candidate(int(neuron.threshold), old.scale, exponents)
        sources = scales.sources_of(network, population, like.input_bits)
        rounded = scales.round_at(population, sources, candidate, neuron.bias_exponent, largest, clips=neuron.clips)
        made.append(_quantized(population, Made(*rounded, old.scale, old.limited_by), sources, largest))
    text = f"qat, int{report.weight_bits} weights, {like.input_bits}-bit input"
    integer = _assemble(network, made, report.weight_bits, like.input_bits, text)
    return integer, replace(report, layers=tuple(q.layer for q in made))


@dataclass(frozen=True)
class _Quantized:
    population: Population
    projections: tuple[Projection, ...]
    layer: LayerQuantization


def _check(network: Network, weight_bits: int) -> None:
    if network.integer:
        raise NetworkError("the network is an integer network already")
    if problem := problem_of_width(weight_bits):
        raise InputError(problem)


def _assemble(network: Network, made: Sequence[_Quantized], weight_bits: int, input_bits: int, how: str) -> Network:
    order = {p.name: i for i, p in enumerate(network.projections)}
    whole = sorted((p for q in made for p in q.projections), key=lambda p: order[p.name])
    return replace(
        network,
        populations=(replace(network.input, model=Input(input_bits, network.static)), *(q.population for q in made)),
        projections=tuple(part for projection in whole for part in synapses(projection, weight_bits)),
        integer=True,
        provenance={**network.provenance, "quantization": how, "weight_bits": str(weight_bits)},
    )


def _quantize_population(
    network: Network,
    population: Population,
    weight_bits: int,
    input_bits: int,
    method: str,
    observer: Observer | None = None,
) -> _Quantized:
    sources = scales.sources_of(network, population, input_bits)
    largest = largest_weight(weight_bits)
    observed = None if observer is None else observer.of(population, input_bits)
    made = find(population, sources, largest, network.timesteps, method, observed)
    return _quantized(population, made, sources, largest)


def _quantized(
    exact: Population,
    made: Made,
    sources: Sequence[Source],
    largest: int,
) -> _Quantized:
    """A rounded population with its row of the report."""
    population, projections, scale = made.population, made.projections, made.scale
    neuron, wanted, weights = neuron_of(population), neuron_of(exact), [source.weight for source in sources]
    error = total = 0.0
    clipped = count = 0
    for projection, source in zip(projections, sources, strict=True):
        step = scale * 2**projection.exponent
        error += float(np.sum((projection.op.weight * step - source.weight) ** 2))
        total += float(np.sum(source.weight**2))
        clipped += int((np.abs(np.round(source.weight / step)) > largest).sum())
        count += source.weight.size
    layer = LayerQuantization(
        name=population.name,
        scale=scale,
        threshold=int(neuron.threshold),
        largest_weight=max(int(np.abs(p.op.weight).max(initial=0)) for p in projections),
        weight_error=float(np.sqrt(error / total)) if total else 0.0,
        bias_exponent=neuron.bias_exponent,
        limited_by=made.limited_by,
        clipped=clipped / count,
        bias_error=float(np.abs(_bias(neuron, scale) - wanted.bias).max() / scales.yardstick(wanted, weights)),
        decay_error=max(
            abs(neuron.decay_u / DECAY_UNITY - wanted.decay_u), abs(neuron.decay_v / DECAY_UNITY - wanted.decay_v)
        ),
        clips=neuron.clips,
    )
    return _Quantized(population, projections, layer)


def _bias(neuron: Neuron, scale: float) -> npt.NDArray[np.float64]:
    """What an integer neuron's bias adds in float units."""
    added: npt.NDArray[np.float64] = np.ldexp(neuron.bias.astype(np.float64), neuron.bias_exponent - MEMBRANE_SHIFT)
    return added * scale


def _try_input_bits(network: Network, weight_bits: int, images: Images, method: str) -> tuple[InputTrial, ...]:
    """What each width of the input messages costs, on the populations that the input drives."""
    driven = [p for p in network.spiking if any(q.source == network.input.name for q in network.incoming(p.name))]
    trials = []
    for bits in _widths(images):
        errors, largest = [], 0
        for population in driven:
            try:
                done = _quantize_population(network, population, weight_bits, bits, method)
            except NetworkError:
                errors.append(float("inf"))
                continue
            errors.append(_drive_error(network, population, done, images, bits))
            largest = max(largest, done.layer.largest_weight)
        trials.append(InputTrial(bits, largest, max(errors)))
    return tuple(trials)


def _widths(images: Images) -> tuple[int, ...]:
    """The width at which the messages are the pixels, if there is one below eight bits: binary frames have one bit."""
    for bits in range(1, 8):
        full = 2**bits - 1
        if ((images >> np.uint8(8 - bits)).astype(np.int64) * 255 == images.astype(np.int64) * full).all():
            return (bits,)
    return INPUT_BITS_TRIED


def _drive_error(network: Network, population: Population, done: _Quantized, images: Images, bits: int) -> float:
    """RMS of the error of one step's drive from the image, bias included, over the population's yardstick."""
    wanted, got = neuron_of(population), neuron_of(done.population)
    error = _bias(got, done.layer.scale) - wanted.bias
    frames = _frames(network, images)
    total = np.broadcast_to(error.reshape(population.shape), (len(frames), *population.shape)).copy()
    messages = (frames >> np.uint8(8 - bits)).astype(np.float64)
    for exact, made in zip(network.incoming(population.name), done.projections, strict=True):
        if exact.source == network.input.name:
            total += apply(made.op, messages) * (done.layer.scale * 2**made.exponent)
            total -= apply(exact.op, frames.astype(np.float64))
    weights = [source.weight for source in scales.sources_of(network, population, bits)]
    return float(np.sqrt(np.mean(total**2)) / scales.yardstick(wanted, weights))


def _frames(network: Network, images: Images) -> Images:
    """What is sent at a step, `(M, *input shape)`: the images, or of images in time frames of all, evenly over them."""
    if network.static:
        return images
    frames = images.reshape(-1, *network.input.shape)
    return frames[:: max(1, len(frames) // MOST_FRAMES)]
