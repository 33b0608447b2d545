"""Integer networks to run: a few that between them use everything, and random ones. None of them can overflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Literal

import numpy as np

from kdsnn.network import (
    MEMBRANE_SHIFT,
    NEVER,
    Conv2d,
    Dense,
    Input,
    Network,
    Neuron,
    Population,
    Projection,
    Shape,
    neuron_of,
)
from kdsnn.network.overflow import overflows

__all__ = ["Kind", "example_networks", "integrating", "or_pool", "random_network"]

Reset = Literal["zero", "subtract", "none"]


@dataclass(frozen=True)
class Kind:
    """What the neurons of a random network are like, and its input.

    Attributes:
        bits: of an input message.
        in_time: whether the input changes from step to step.
        decay_u: of currents.
        decay_v: of potentials.
        reset: what a spike does to the potential.
        recurrent: whether populations feed themselves.
    """

    bits: int = 8
    in_time: bool = False
    decay_u: int = 4096
    decay_v: int = 0
    reset: Reset = "zero"
    recurrent: bool = False


def example_networks() -> list[Network]:
    """Small networks that between them use everything that an integer network can hold."""
    return [
        _random("image", (2, 9, 7), 4, Kind(), seed=1),
        _random("one-step", (1, 6, 8), 1, Kind(), seed=2),
        _random("leaky", (1, 7, 7), 5, Kind(decay_u=3000, decay_v=200), seed=220),
        _random("spikes-in", (3, 6, 6), 3, Kind(bits=1), seed=4),
        _random("residual", (1, 8, 6), 4, Kind(), seed=5, residual=True),
        _two_paths(),
        integrating(_random("integrator", (1, 7, 6), 4, Kind(), seed=6)),
        integrating(_random("leaky-integrator", (2, 6, 6), 5, Kind(decay_u=1500, decay_v=300), seed=7)),
        _clipping(),
        _random("frames", (2, 7, 6), 6, Kind(in_time=True), seed=332),
        integrating(_random("events", (2, 7, 6), 9, Kind(bits=1, in_time=True, decay_v=150), seed=96, residual=True)),
        _random("subtract", (1, 7, 7), 7, Kind(reset="subtract"), seed=366),
        _random("leaky-subtract", (1, 7, 7), 7, Kind(decay_u=2800, decay_v=300, reset="subtract"), seed=11),
        _random("no-reset", (1, 6, 7), 5, Kind(reset="none", decay_v=400), seed=12),
        _random("recurrent", (1, 6, 7), 7, Kind(recurrent=True), seed=13),
        _random("recurrent-events", (2, 6, 6), 8, Kind(1, True, 3000, 200, "subtract", recurrent=True), seed=14),
        _clipping_from_above(),
        _wide(),
    ]


def random_network(
    seed: int,
    *,
    leaky: bool | None = None,
    residual: bool | None = None,
    integrates: bool = False,
    in_time: bool = False,
    reset: Reset = "zero",
    recurrent: bool = False,
) -> Network:
    """A network of random depth, shapes, strides, groups, biases, leak and T.

    Args:
        seed: seed of everything that is drawn.
        leaky: whether neurons leak and have currents of their own; None leaves it to chance.
        residual: whether there are residual blocks; None leaves it to chance.
        integrates: whether the output is an integrator, if it can be without an overflow.
        in_time: whether the input changes from step to step.
        reset: what a spike does to the potential.
        recurrent: whether populations feed themselves.
    """
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 4)), int(rng.integers(4, 11)), int(rng.integers(4, 11)))
    leak = bool(rng.random() < 0.3) if leaky is None else leaky
    decays = (int(rng.integers(1, 4097)), int(rng.integers(0, 4096))) if leak else (4096, 0)
    bits = int(rng.choice([1, 4, 8, 8]))
    steps = int(rng.integers(1, 6))
    joins = bool(rng.random() < 0.5) if residual is None else residual
    kind = Kind(bits, in_time, *decays, reset, recurrent)
    made = _random(f"random-{seed}", shape, steps, kind, seed=seed, residual=joins)
    return integrating(made) if integrates else made


def integrating(network: Network) -> Network:
    """The same network with an output that integrates and never fires, so that its membrane potential is read out."""
    output = network.output
    neuron = replace(neuron_of(output), threshold=NEVER, fires=False, clips=False, reset_by=None)
    heard = tuple(p for p in network.projections if not (p.recurrent and p.source == output.name))
    populations = (*network.populations[:-1], replace(output, model=neuron))
    made = replace(network, populations=populations, projections=heard)
    return network if overflows(made) else made


def _random(name: str, shape: Shape, timesteps: int, kind: Kind, *, seed: int, residual: bool = False) -> Network:
    """Convolutions, perhaps residual blocks, an OR pool and dense layers, with random geometry."""
    rng = np.random.default_rng(seed)
    build = _Builder(rng, shape, timesteps, kind)
    for _ in range(int(rng.integers(1, 3))):
        build.convolve()
    if residual:
        for _ in range(int(rng.integers(1, 3))):
            build.join()
    build.pool()
    if rng.random() < 0.5:
        build.convolve()
    for size in (int(rng.integers(3, 12)), 5):
        build.multiply(size)
    return build.network(name)


class _Builder:
    """A network that grows at its end."""

    def __init__(self, rng: np.random.Generator, shape: Shape, timesteps: int, kind: Kind) -> None:
        self.rng, self.timesteps, self.kind = rng, timesteps, kind
        self.populations = [Population("input", shape, Input(kind.bits, static=not kind.in_time))]
        self.projections: list[Projection] = []

    def convolve(self) -> None:
        """A convolution with random kernel, stride, padding, dilation and groups."""
        source, rng = self.populations[-1], self.rng
        groups = int(rng.choice([g for g in (1, 2, 3) if source.shape[0] % g == 0]))
        c_out = groups * int(rng.integers(1, 4))
        size = source.shape[1:]
        kernel = tuple(int(rng.integers(1, min(4, n + 1))) for n in size)
        dilation = tuple(int(rng.integers(1, 3)) if n > 2 * k else 1 for n, k in zip(size, kernel, strict=True))
        stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
        weight = rng.integers(-127, 128, (c_out, source.shape[0] // groups, *kernel))
        self._drive((source, Conv2d(weight, stride, padding, (dilation[0], dilation[1]), groups)))

    def join(self) -> None:
        """A residual block: a population, and one that hears it and, through a relay, what stood before it."""
        before = self.populations[-1]
        channels = before.shape[0]
        inner = self._drive((before, self._same_size(channels)))
        relay = Population(f"relay{len(self.populations)}", before.shape, _silent(0, before.neurons), relay=True)
        self.populations.insert(-1, relay)
        identity = Conv2d(np.ones((channels, 1, 1, 1), dtype=np.int64), groups=channels)
        self.projections.append(Projection(before.name, relay.name, identity))
        shortcut = Conv2d(self.rng.integers(-127, 128, (channels, 1, 1, 1)), groups=channels)
        self._drive((inner, self._same_size(channels)), (relay, shortcut))

    def _same_size(self, channels: int) -> Conv2d:
        return Conv2d(self.rng.integers(-127, 128, (channels, channels, 3, 3)), padding=(1, 1))

    def pool(self) -> None:
        """An OR over windows of 2 x 2, where the image is large enough."""
        if min(self.populations[-1].shape[1:]) >= 2:
            population, projection = or_pool(self.populations[-1], f"pool{len(self.populations)}", 2)
            self.populations.append(population)
            self.projections.append(projection)

    def multiply(self, size: int) -> None:
        """A dense layer; of odd, positive weights now and then."""
        low = 1 if self.rng.random() < 0.3 else -127
        source = self.populations[-1]
        self._drive((source, Dense(self.rng.integers(low, 128, (size, source.neurons)))))

    def _drive(self, *inputs: tuple[Population, Conv2d | Dense]) -> Population:
        """Adds a population with these inputs, the weights halved until no image can overflow it."""
        rng, name = self.rng, f"layer{len(self.populations)}"
        shape = inputs[0][1].output_shape(inputs[0][0].shape)
        labels = tuple(map(str, range(prod(shape))))
        exponents = [int(rng.integers(0, 2)) for _ in inputs]
        own = [self._own(shape)] if self.kind.recurrent else []
        halvings = 0
        while True:
            ops = [replace(op, weight=op.weight >> halvings) for _, op in inputs]
            drive = sum(int(np.abs(op.weight).reshape(len(op.weight), -1).sum(axis=1).mean()) for op in ops)
            drive *= 255 if inputs[0][0] is self.populations[0] else 1
            threshold = int(rng.integers(1, max(2, min(drive // 12, 2**16))))
            neuron = Neuron(
                threshold=threshold,
                bias=rng.integers(-200, 200, prod(shape)),
                bias_exponent=int(rng.integers(0, 5)),
                decay_u=self.kind.decay_u,
                decay_v=self.kind.decay_v,
                reset_by={"zero": None, "subtract": threshold << MEMBRANE_SHIFT, "none": 0}[self.kind.reset],
            )
            population = Population(name, shape, neuron)
            made = [
                Projection(source.name, name, op, exponent)
                for (source, _), op, exponent in zip(inputs, ops, exponents, strict=True)
            ]
            made += [Projection(name, name, replace(op, weight=op.weight >> halvings), exponents[0]) for op in own]
            everything = (*self.populations, population), (*self.projections, *made)
            if name not in overflows(Network("trial", *everything, self.timesteps, labels, integer=True)):
                break
            halvings += 1
        self.populations.append(population)
        self.projections += made
        return population

    def _own(self, shape: Shape) -> Conv2d | Dense:
        """What a population hears of itself: from its surroundings, or from all of its neurons."""
        if len(shape) == 1:
            return Dense(self.rng.integers(-60, 61, (*shape, *shape)))
        return Conv2d(self.rng.integers(-60, 61, (shape[0], shape[0], 3, 3)), padding=(1, 1))

    def network(self, name: str) -> Network:
        """The network built so far."""
        labels = tuple(map(str, range(self.populations[-1].neurons)))
        return Network(name, tuple(self.populations), tuple(self.projections), self.timesteps, labels, integer=True)


def _silent(threshold: int, neurons: int) -> Neuron:
    return Neuron(threshold, np.zeros(neurons, dtype=np.int64))


def or_pool(source: Population, name: str, size: int) -> tuple[Population, Projection]:
    """A population that fires where any neuron in a window of the source did, and the projection into it."""
    channels = source.shape[0]
    op = Conv2d(np.ones((channels, 1, size, size), dtype=np.int64), (size, size), groups=channels)
    shape = op.output_shape(source.shape)
    population = Population(name, shape, _silent(0, prod(shape)))
    return population, Projection(source.name, name, op)


def _two_paths() -> Network:
    """Two branches of one length into one population, with different exponents."""
    rng = np.random.default_rng(7)
    shape = (2, 5, 6)

    def branch(name: str) -> tuple[Population, Projection]:
        op = Conv2d(rng.integers(-6, 7, (3, 2, 3, 3)), padding=(1, 1))
        neuron = Neuron(90, rng.integers(-50, 50, 90), 3)
        return Population(name, (3, 5, 6), neuron), Projection("input", name, op)

    (left, into_left), (right, into_right) = branch("left"), branch("right")
    joined = Population("joined", (4, 5, 6), Neuron(70, rng.integers(-50, 50, 120), 2))
    joins = (
        Projection("left", "joined", Conv2d(rng.integers(-60, 61, (4, 3, 1, 1))), 0),
        Projection("right", "joined", Conv2d(rng.integers(-30, 31, (4, 3, 3, 3)), padding=(1, 1)), 1),
    )
    out = Population("out", (3,), Neuron(150, np.zeros(3, dtype=np.int64)))
    last = Projection("joined", "out", Dense(rng.integers(-90, 91, (3, 120))))
    populations = (Population("input", shape, Input(5)), left, right, joined, out)
    return Network("two-paths", populations, (into_left, into_right, *joins, last), 4, ("a", "b", "c"), integer=True)


def _wide() -> Network:
    """Weights of 12 and of 13 bits, each in two synapses, whose low bits decide spikes."""
    rng = np.random.default_rng(15)

    def parts(
        source: str,
        target: str,
        of: Callable[..., Conv2d | Dense],
        shape: Shape,
        bits: int,
        range_of_high: tuple[int, int],
    ) -> list[Projection]:
        half = 2 ** (bits - 9)
        high, low = rng.integers(*range_of_high, shape), rng.integers(-half, half, shape)
        return [Projection(source, target, of(high), bits - 8), Projection(source, target, of(low), part=1)]

    populations = (
        Population("input", (2, 6, 5), Input(1)),
        Population("first", (3, 6, 5), Neuron(2500, rng.integers(-200, 200, 90), 3)),
        Population("out", (4,), _silent(16000, 4)),
    )
    projections = (
        *parts("input", "first", partial(Conv2d, padding=(1, 1)), (3, 2, 3, 3), 12, (-40, 61)),
        *parts("first", "out", Dense, (4, 90), 13, (-8, 40)),
    )
    return Network("wide", populations, projections, 4, tuple("abcd"), integer=True)


def _clipping_from_above() -> Network:
    """Excitation that spikes do not take back, beyond the highest potential, and then inhibition, which starts there.

    A white pixel makes the first neuron fire at each step and the other eight at the twelfth. What they drive gains
    14,256 weight units a step, clips at 131,072 in the tenth, and is inhibited by 130,048 at the twelfth: there it is
    silent, and would fire without clipping.
    """
    first = np.zeros((9, 4), dtype=np.int64)
    first[0, 0], first[1:, 0] = 125, 10
    filled = Neuron(20000, np.zeros(2, dtype=np.int64), clips=True, reset_by=2000 << MEMBRANE_SHIFT)
    populations = (
        Population("input", (1, 2, 2), Input(1)),
        Population("first", (9,), _silent(450, 9)),
        Population("filled", (2,), filled),
        Population("out", (2,), _silent(2, 2)),
    )
    projections = (
        Projection("input", "first", Dense(first), 2),
        Projection("first", "filled", Dense(np.array([[127] + [-127] * 8, [100] + [-100] * 8])), 7),
        Projection("filled", "out", Dense(np.array([[3, 0], [2, 1]]))),
    )
    return Network("clipping-from-above", populations, projections, 14, ("a", "b"), integer=True)


def _clipping() -> Network:
    """Inhibition that twice in a row takes all the state, and excitation after it: without clipping it would not fire.

    A white pixel makes half of the first neurons fire at steps 5, 10 and 15 and the others at step 12. The middle
    neurons get 5000 at each step, fire at the first four, and are inhibited by 130,048 at 5 and 10: there they clip, so
    that 121,856 at step 12 bring them above zero, and they fire at 13.
    """
    first = np.zeros((16, 4), dtype=np.int64)
    first[:8, 0], first[8:, 1] = 10, 4
    middle = np.concatenate([np.full((3, 8), -127), np.full((3, 8), 119)], axis=1)
    middle[1, :4] = -60  # one that is inhibited less, and one that is excited less
    middle[2, 8:] = 20
    populations = (
        Population("input", (1, 2, 2), Input(1)),
        Population("first", (16,), _silent(45, 16)),
        Population("middle", (3,), Neuron(3000, np.full(3, 2500), 7, clips=True)),
        Population("out", (2,), _silent(2, 2)),
    )
    projections = (
        Projection("input", "first", Dense(first)),
        Projection("first", "middle", Dense(middle), 7),
        Projection("middle", "out", Dense(np.array([[3, 0, 1], [-1, 2, 1]]))),
    )
    return Network("clipping", populations, projections, 16, ("a", "b"), integer=True)
