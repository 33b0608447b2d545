"""The one shared vocabulary: populations of neurons, projections between them, and the network they make.

A `Network` is either *float* (what lowering makes of a trained student) or *integer* (what quantization makes of a
float network, and what every target runs). Both have the same shape; `Network.integer` tells them apart.

Integer semantics, one time step of one population (Lava's fixed-point LIF, which all targets reproduce):

    a = sum over projections of (sum of weight * message) << exponent          weight units, |a| < 2**17
    u = decay(u, decay_u) + (a << 6)                                           64 to a weight unit, |u| < 2**23
    v = decay(v, decay_v) + u + bias                                           same units, |v| < 2**23
    spike = v > threshold << 6;  v = 0 where it spiked
    (an integrator at the output never spikes: its threshold is the highest, and `overflow.py` keeps v below it)
    decay(x, d) = sign(x) * (|x| * (4096 - d) >> 12)

u and v start every image at zero. `kdsnn.network.overflow` proves for a given network that neither can leave its range.
Float semantics are the same without shifts, with decays as fractions of one instead of 1/4096.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from kdsnn.errors import NetworkError
from kdsnn.network.operators import Conv2d
from kdsnn.network.populations import (
    BIAS_BITS,
    DECAY_UNITY,
    MAX_BIAS_EXPONENT,
    MAX_EXPONENT,
    NEVER,
    THRESHOLD_BITS,
    WEIGHT_BITS,
    Input,
    Neuron,
    Population,
    Projection,
    neuron_of,
)

__all__ = ["Network"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, eq=False)
class Network:
    """Populations in an order in which every projection runs forward, and the projections between them.

    The first population is the input, the last is the output. The score of each class (`labels`) is the number of its
    spikes over `timesteps`, or, where the output is an integrator, its potential after the last of them.

    Raises:
        NetworkError: with all problems at once.
    """

    name: str
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    timesteps: int
    labels: tuple[str, ...]
    integer: bool
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise NetworkError(f"network {self.name[:100]!r} is not valid", problems=problems)

    @property
    def input(self) -> Population:
        """The population that emits the images."""
        return self.populations[0]

    @property
    def input_bits(self) -> int:
        """Width of an input message."""
        model = self.input.model
        assert isinstance(model, Input)  # noqa: S101  validated above
        return model.bits

    @property
    def output(self) -> Population:
        """The population whose spikes are counted, or whose potential is read."""
        return self.populations[-1]

    @property
    def readout(self) -> Literal["rate", "membrane"]:
        """What the score of a class is: spikes of the output over T, or its potential after T steps."""
        return "rate" if neuron_of(self.output).fires else "membrane"

    @property
    def spiking(self) -> tuple[Population, ...]:
        """All populations but the input."""
        return self.populations[1:]

    @cached_property
    def _by_name(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    def population(self, name: str) -> Population:
        """The population of that name."""
        return self._by_name[name]

    def incoming(self, name: str) -> tuple[Projection, ...]:
        """The projections into a population."""
        return tuple(p for p in self.projections if p.target == name)

    @cached_property
    def steady(self) -> frozenset[str]:
        """Populations that the image enters by weights of zero only: they do the same at every step, whatever it is."""
        entered = {p.name: self.incoming(p.name) for p in self.spiking}
        return frozenset(
            name for name, all_ in entered.items() if all(p.source == self.input.name and p.silent for p in all_)
        )

    @cached_property
    def depths(self) -> dict[str, int]:
        """Length of the longest path from the input to each population: 0 for the input.

        A steady population, whose input does not matter, stands right before the first that it feeds.
        """
        depth: dict[str, int] = {self.input.name: 0}
        for population in self.spiking:
            sources = {p.source for p in self.incoming(population.name)}
            if population.name not in self.steady:
                depth[population.name] = 1 + max((depth[s] for s in sources - self.steady), default=1)
        for name in self.steady:
            fed = [depth[p.target] - 1 for p in self.projections if p.source == name]
            depth[name] = min(fed, default=1)
        return depth

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in _canonical(self):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """sha256 of everything that decides a spike; name and provenance do not."""
        return self._fingerprint


def _canonical(network: Network) -> list[bytes]:
    header: dict[str, Any] = {"schema": "kdsnn.network/1", "timesteps": network.timesteps, "labels": network.labels}
    header["integer"] = network.integer
    parts = [json.dumps(header, sort_keys=True).encode()]
    for population in network.populations:
        record: dict[str, Any] = {"name": population.name, "shape": population.shape}
        model = population.model
        if isinstance(model, Input):
            parts += [json.dumps(record | {"bits": model.bits}, sort_keys=True).encode()]
            continue
        record |= {
            "threshold": float(model.threshold),
            "bias_exponent": model.bias_exponent,
            "decay_u": float(model.decay_u),
            "decay_v": float(model.decay_v),
        }
        if not model.fires:
            record["fires"] = False
        parts += [json.dumps(record, sort_keys=True).encode(), model.bias.astype("<f8").tobytes()]
    for projection in network.projections:
        op = projection.op
        record = {
            "source": projection.source,
            "target": projection.target,
            "exponent": projection.exponent,
            "kind": op.kind,
            "shape": op.weight.shape,
        }
        if isinstance(op, Conv2d):
            record |= {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
        weight = op.weight.astype("<i2" if network.integer else "<f8")
        parts += [json.dumps(record, sort_keys=True).encode(), weight.tobytes()]
    return parts


def _problems(network: Network) -> list[str]:
    problems = []
    if network.timesteps < 1:
        problems.append(f"timesteps must be at least 1, not {network.timesteps}")
    if len(network.populations) < 2:
        return [*problems, "there must be an input and at least one spiking population"]
    names = [p.name for p in network.populations]
    for name in names:
        if not _NAME.fullmatch(name):
            problems.append(f"population name {name[:100]!r} is not made of letters, digits, '_', '.' and '-'")
    if len(set(names)) != len(names):
        problems.append("two populations have the same name")
    if not isinstance(network.input.model, Input):
        problems.append(f"the first population, {network.input.name!r}, is not an input")
    if network.output.neurons != len(network.labels):
        problems.append(f"{network.output.neurons} output neurons do not match {len(network.labels)} labels")
    for population in network.populations:
        problems += _population_problems(population, network)
    return problems + _projection_problems(network)


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
    if not ((np.isfinite(model.threshold) or not model.fires) and np.isfinite(model.bias).all()):
        problems.append(f"population {name!r} has a threshold or bias that is not finite")
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
    order = {p.name: i for i, p in enumerate(network.populations)}
    seen: set[tuple[str, str]] = set()
    for projection in network.projections:
        name = projection.name
        if projection.source not in order or projection.target not in order:
            problems.append(f"projection {name!r} names a population that does not exist")
            continue
        if order[projection.source] >= order[projection.target]:
            problems.append(f"projection {name!r} runs backwards: the network must be acyclic and in order")
        if (projection.source, projection.target) in seen:
            problems.append(f"projection {name!r} is there twice")
        seen.add((projection.source, projection.target))
        problems += _operation_problems(projection, network)
    for population in network.spiking:
        if not network.incoming(population.name):
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
