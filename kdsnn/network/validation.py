"""What makes a network valid: every rule that it breaks, all at once."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from kdsnn.network.operators import Conv2d
from kdsnn.network.populations import (
    BIAS_BITS,
    DECAY_UNITY,
    MAX_BIAS_EXPONENT,
    MAX_EXPONENT,
    NEVER,
    STATE_LIMIT,
    THRESHOLD_BITS,
    WEIGHT_BITS,
    Input,
    Neuron,
    Population,
    Projection,
)

if TYPE_CHECKING:
    from kdsnn.network.network import Network

__all__ = ["problems_of", "synapses_of"]

MOST_TIMESTEPS = 2**16 - 1  # the spikes of a neuron over the window are counted in 16 bits
MOST_NEURONS = 2**24  # a hundred chips; VGG16 on ImageNet has 13.6 million
MOST_SPIKES = 2**33  # neurons times time steps: what one image costs, in memory and in time
MOST_SYNAPSES = 2**34  # of a time step, each in as many places as its kernel has; VGG16 on ImageNet has 15 billion
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def problems_of(network: Network) -> list[str]:
    """The rules of `Network` that it breaks; none where it is valid."""
    problems = _size_problems(network)
    if problems and len(network.populations) < 2:
        return problems
    names = [p.name for p in network.populations]
    for name in names:
        if not _NAME.fullmatch(name):
            problems.append(f"population name {name[:100]!r} is not made of letters, digits, '_', '.' and '-'")
    if twice := [label for label, times in Counter(network.labels).items() if times > 1]:
        problems.append(f"two classes have the label {twice[0][:100]!r}")
    if len(set(names)) != len(names):
        problems.append("two populations have the same name")
    if not isinstance(network.input.model, Input):
        problems.append(f"the first population, {network.input.name!r}, is not an input")
    if network.output.neurons != len(network.labels):
        problems.append(f"{network.output.neurons} output neurons do not match {len(network.labels)} labels")
    for population in network.populations:
        problems += _population_problems(population, network)
    return problems + _projection_problems(network)


def _size_problems(network: Network) -> list[str]:
    steps, populations = network.timesteps, network.populations
    problems = []
    if not _is_whole(steps) or not 1 <= steps <= MOST_TIMESTEPS:
        problems.append(f"timesteps must be from 1 to {MOST_TIMESTEPS}, a whole number, not {steps}")
    if len(populations) < 2:
        problems.append("there must be an input and at least one spiking population")
    if strange := [p.name for p in populations if not all(map(_is_whole, p.shape))]:
        problems.append(f"population {strange[0]!r} has a shape that is not made of whole numbers")
    neurons = 0 if problems else sum(p.neurons for p in populations)
    if neurons > MOST_NEURONS:
        problems.append(f"it has {neurons:,} neurons, more than {MOST_NEURONS:,}")
    elif steps * neurons > MOST_SPIKES:
        problems.append(f"its neurons times its {steps} time steps are more than {MOST_SPIKES:,}")
    return problems


def synapses_of(projection: Projection, target: Population) -> int:
    """Synapses of a projection into a population, those that padding leaves idle included."""
    op = projection.op
    return target.neurons * prod(op.weight.shape[1:]) if isinstance(op, Conv2d) else op.weight.size


def _is_whole(number: object) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _population_problems(population: Population, network: Network) -> list[str]:
    name, model = population.name, population.model
    if len(population.shape) not in (1, 3) or min(population.shape) < 1:
        return [f"population {name!r} has shape {population.shape}, neither (N,) nor (C, H, W)"]
    if isinstance(model, Input):
        problems = [] if 1 <= model.bits <= 8 else [f"input {name!r} has {model.bits} bits, not 1 to 8"]
        if population is not network.input:
            problems.append(f"population {name!r} is a second input")
        return problems
    problems = []
    if model.bias.shape != (population.neurons,):
        problems.append(f"population {name!r} has a bias of shape {model.bias.shape}, not ({population.neurons},)")
    unity = DECAY_UNITY if network.integer else 1
    if not (0 <= model.decay_u <= unity and 0 <= model.decay_v <= unity):
        problems.append(f"population {name!r} has a decay outside 0 to {unity}")
    problems += _silence_problems(population, model, network)
    problems += _reset_problems(name, model, network)
    if model.clips and not (network.integer and model.fires):
        problems.append(f"population {name!r} clips: only integer populations that fire may")
    endless = not model.fires and not network.integer and model.threshold == np.inf
    numbers = (model.bias_exponent, model.decay_u, model.decay_v, *(() if endless else (model.threshold,)))
    if not (np.isfinite(numbers).all() and np.isfinite(model.bias).all()):
        problems.append(f"population {name!r} has a threshold or bias that is not finite, or such a decay")
    elif network.integer:
        problems += _integer_neuron_problems(name, model)
    elif model.threshold < 0:
        problems.append(f"population {name!r} has the negative threshold {model.threshold}")
    return problems


def _silence_problems(population: Population, model: Neuron, network: Network) -> list[str]:
    if model.fires:
        return []
    problems, never = [], NEVER if network.integer else np.inf
    if population is not network.output:
        problems.append(f"population {population.name!r} never fires, and is not the output")
    if model.threshold != never:
        problems.append(f"population {population.name!r} never fires, and has threshold {model.threshold}, not {never}")
    return problems


def _reset_problems(name: str, model: Neuron, network: Network) -> list[str]:
    by = model.reset_by
    if by is None:
        return []
    if not model.fires:
        return [f"population {name!r} never fires, and its spikes take {by} from the potential"]
    if not (np.isfinite(by) and by >= 0):
        return [f"population {name!r} loses {by} by a spike, which is no amount"]
    if network.integer and (by != int(by) or by >= STATE_LIMIT):
        return [f"population {name!r} loses {by} by a spike, not a whole number below {STATE_LIMIT}"]
    return []


def _integer_neuron_problems(name: str, model: Neuron) -> list[str]:
    problems = []
    scalars = (model.threshold, model.bias_exponent, model.decay_u, model.decay_v)
    if any(x != int(x) for x in scalars) or not np.issubdtype(model.bias.dtype, np.integer):
        return [f"population {name!r} has a threshold, bias or decay that is not an integer"]
    if not 0 <= model.threshold < 2**THRESHOLD_BITS:
        problems.append(f"population {name!r} has threshold {model.threshold}, outside {THRESHOLD_BITS} bits")
    if model.decay_u < 1:
        problems.append(f"population {name!r} has decay_u 0: the hardware loses at least 1/4096 of a current")
    limit = 2 ** (BIAS_BITS - 1)
    if model.bias.min(initial=0) < -limit or model.bias.max(initial=0) >= limit:
        problems.append(f"population {name!r} has a bias mantissa outside {BIAS_BITS} bits")
    if not 0 <= model.bias_exponent <= MAX_BIAS_EXPONENT:
        problems.append(f"population {name!r} has bias exponent {model.bias_exponent}, not 0 to {MAX_BIAS_EXPONENT}")
    return problems


def _projection_problems(network: Network) -> list[str]:
    problems: list[str] = []
    synapses = 0
    order = {p.name: i for i, p in enumerate(network.populations)}
    seen: set[str] = set()
    for projection in network.projections:
        name = projection.name
        if projection.source not in order or projection.target not in order:
            problems.append(f"projection {name!r} names a population that does not exist")
            continue
        if order[projection.source] > order[projection.target] or projection.target == network.input.name:
            problems.append(
                f"projection {name!r} runs backwards: a population may feed itself and those after it, no other"
            )
        if name in seen:
            problems.append(f"projection {name!r} is there twice")
        if projection.part and replace(projection, part=projection.part - 1).name not in seen:
            problems.append(f"projection {name!r} is a part, and none before it is there")
        seen.add(name)
        synapses += synapses_of(projection, network.population(projection.target))
        problems += _operation_problems(projection, network)
    if synapses > MOST_SYNAPSES:
        problems.append(f"it has {synapses:,} synapses, more than {MOST_SYNAPSES:,}")
    for population in network.spiking:
        if all(p.recurrent for p in network.incoming(population.name)):
            problems.append(f"population {population.name!r} has no incoming projection")
    return problems


def _operation_problems(projection: Projection, network: Network) -> list[str]:
    name, op = projection.name, projection.op
    source, target = network.population(projection.source), network.population(projection.target)
    try:
        shape = op.output_shape(source.shape)
    except ValueError as error:
        return [f"projection {name!r}: {error}"]
    problems = []
    if shape != target.shape:
        problems.append(f"projection {name!r} makes {shape}, but {target.name!r} has shape {target.shape}")
    if not np.isfinite(op.weight).all():
        problems.append(f"projection {name!r} has a weight that is not finite")
    if network.integer:
        limit = 2 ** (WEIGHT_BITS - 1)
        if not np.issubdtype(op.weight.dtype, np.integer):
            problems.append(f"projection {name!r} has weights that are not integers")
        elif op.weight.min(initial=0) < -limit or op.weight.max(initial=0) >= limit:
            problems.append(f"projection {name!r} has weights outside {WEIGHT_BITS} bits")
        if not 0 <= projection.exponent <= MAX_EXPONENT:
            problems.append(f"projection {name!r} has exponent {projection.exponent}, not 0 to {MAX_EXPONENT}")
    elif projection.exponent:
        problems.append(f"projection {name!r} has an exponent, which a float network has not")
    return problems
