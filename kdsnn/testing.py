"""The conformance suite: any target, ours or a plug-in's, must compute the reference's spikes and counts.

from kdsnn.testing import check_target
check_target(MyTarget())
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from kdsnn.bounds import overflows
from kdsnn.evaluate import check_same
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection, Shape
from kdsnn.targets.base import Target, ensure_runnable
from kdsnn.targets.reference import ReferenceTarget

__all__ = ["Conformance", "check_target", "example_networks", "or_pool", "random_images", "random_network", "stimuli"]

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Conformance:
    """What the suite ran: names of the networks, and those that the target refused, each with its reason."""

    passed: tuple[str, ...]
    refused: dict[str, str]


def check_target(target: Target, networks: Iterable[Network] | None = None) -> Conformance:
    """Runs every example network on a target and compares all spikes and counts with the reference.

    For each network: an impulse, a constant, random, saturating and dark images in one batch; the first network also
    twice (the runs must be equal) and one image alone (it must not depend on the others).

    Raises:
        VerificationError: at the first difference.
        TargetUnavailableError: the target cannot run here.
    """
    passed: list[str] = []
    refused: dict[str, str] = {}
    for network in example_networks() if networks is None else networks:
        violations = target.check(network)
        if violations:
            refused[network.name] = "; ".join(map(str, violations))
            continue
        ensure_runnable(target, network)
        images = stimuli(network)
        program, reference = target.compile(network), ReferenceTarget().compile(network)
        check_same(program.run(images, record="all"), reference.run(images, record="all"))
        if not passed:
            check_same(program.run(images, record="all"), reference.run(images, record="all"))
            last = images[-1:]
            check_same(program.run(last, record="all"), reference.run(last, record="all"))
        passed.append(network.name)
    return Conformance(tuple(passed), refused)


def stimuli(network: Network, seed: int = 0) -> Images:
    """An impulse, a constant, two random images, full and no drive, `(6, C, H, W)`.

    The bright ones stand before the dark one, so that state which leaks from image to image shows.
    """
    shape = network.input.shape
    impulse = np.zeros(shape, dtype=np.uint8)
    impulse[tuple(n // 2 for n in shape)] = 255
    random = random_images(network, 2, seed)
    return np.stack([impulse, np.full(shape, 128, np.uint8), *random, np.full(shape, 255, np.uint8), impulse * 0])


def random_images(network: Network, samples: int, seed: int = 0) -> Images:
    """Random pixels, half of them black, `(samples, C, H, W)`."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (samples, *network.input.shape))
    return np.where(rng.random(images.shape) < 0.5, 0, images).astype(np.uint8)


def example_networks() -> list[Network]:
    """Small networks that between them use everything that an integer network can hold."""
    return [
        _chain("image", (2, 9, 7), 4, seed=1),
        _chain("one-step", (1, 6, 8), 1, seed=2),
        _chain("leaky", (1, 7, 7), 5, seed=3, decay_u=3000, decay_v=200),
        _chain("spikes-in", (3, 6, 6), 3, seed=4, bits=1),
        _two_paths(),
    ]


def random_network(seed: int, *, leaky: bool | None = None) -> Network:
    """A chain of random depth, shapes, strides, groups, biases and time steps, that cannot overflow."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 4)), int(rng.integers(4, 11)), int(rng.integers(4, 11)))
    leak = bool(rng.random() < 0.3) if leaky is None else leaky
    decays = (int(rng.integers(1, 4097)), int(rng.integers(0, 4096))) if leak else (4096, 0)
    bits = int(rng.choice([1, 4, 8, 8]))
    steps = int(rng.integers(1, 6))
    return _chain(f"random-{seed}", shape, steps, seed=seed, bits=bits, decay_u=decays[0], decay_v=decays[1])


def _chain(
    name: str, shape: Shape, timesteps: int, *, seed: int, bits: int = 8, decay_u: int = 4096, decay_v: int = 0
) -> Network:
    """Convolutions, an OR pool and dense layers in a row, with random geometry."""
    rng = np.random.default_rng(seed)
    build = _Builder(rng, shape, bits, timesteps, decay_u, decay_v)
    for _ in range(int(rng.integers(1, 3))):
        build.convolve()
    build.pool()
    if rng.random() < 0.5:
        build.convolve()
    for size in (int(rng.integers(3, 12)), 5):
        build.multiply(size)
    return build.network(name)


class _Builder:
    def __init__(
        self, rng: np.random.Generator, shape: Shape, bits: int, timesteps: int, decay_u: int, decay_v: int
    ) -> None:
        self.rng, self.timesteps, self.decays = rng, timesteps, (decay_u, decay_v)
        self.populations = [Population("input", shape, Input(bits))]
        self.projections: list[Projection] = []

    def convolve(self) -> None:
        """A convolution with random kernel, stride, padding, dilation and groups."""
        source, rng = self.populations[-1].shape, self.rng
        groups = int(rng.choice([g for g in (1, 2, 3) if source[0] % g == 0]))
        c_out = groups * int(rng.integers(1, 4))
        kernel = tuple(int(rng.integers(1, min(4, n + 1))) for n in source[1:])
        dilation = tuple(int(rng.integers(1, 3)) if n > 2 * k else 1 for n, k in zip(source[1:], kernel, strict=True))
        stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        padding = (int(rng.integers(0, 3)), int(rng.integers(0, 3)))
        weight = rng.integers(-127, 128, (c_out, source[0] // groups, *kernel))
        self._add(Conv2d(weight, stride, padding, (dilation[0], dilation[1]), groups))

    def pool(self) -> None:
        """An OR over windows of 2 x 2, where the image is large enough."""
        shape = self.populations[-1].shape
        if min(shape[1:]) >= 2:
            name = f"pool{len(self.populations)}"
            population, projection = or_pool(self.populations[-1], name, 2)
            self.populations.append(population)
            self.projections.append(projection)

    def multiply(self, size: int) -> None:
        """A dense layer; of odd, positive weights now and then."""
        low = 1 if self.rng.random() < 0.3 else -127
        self._add(Dense(self.rng.integers(low, 128, (size, self.populations[-1].neurons))))

    def _add(self, op: Conv2d | Dense) -> None:
        """Adds a population driven by the last one, weights halved until no image can overflow it."""
        source, rng = self.populations[-1], self.rng
        shape = op.output_shape(source.shape)
        weight = op.weight
        while True:
            op = type(op)(**{**op.__dict__, "weight": weight})
            name = f"layer{len(self.populations)}"
            largest = 255 if source is self.populations[0] else 1
            drive = max(2, int(np.abs(weight).reshape(len(weight), -1).sum(axis=1).mean()) * largest)
            neuron = Neuron(
                threshold=int(rng.integers(1, max(2, min(drive // 3, 2**16)))),
                bias=rng.integers(-200, 200, prod(shape)),
                bias_exponent=int(rng.integers(0, 5)),
                decay_u=self.decays[0],
                decay_v=self.decays[1],
            )
            population = Population(name, shape, neuron)
            projection = Projection(source.name, name, op, exponent=int(rng.integers(0, 2)))
            labels = tuple(map(str, range(population.neurons)))
            made = (*self.populations, population), (*self.projections, projection)
            if name not in overflows(Network("trial", *made, self.timesteps, labels, integer=True)):
                break
            weight = weight // 2
        self.populations.append(population)
        self.projections.append(projection)

    def network(self, name: str) -> Network:
        """The network built so far."""
        labels = tuple(map(str, range(self.populations[-1].neurons)))
        return Network(name, tuple(self.populations), tuple(self.projections), self.timesteps, labels, integer=True)


def or_pool(source: Population, name: str, size: int) -> tuple[Population, Projection]:
    """A population that fires where any neuron in a window of the source did, and the projection into it."""
    channels = source.shape[0]
    op = Conv2d(np.ones((channels, 1, size, size), dtype=np.int64), (size, size), groups=channels)
    shape = op.output_shape(source.shape)
    population = Population(name, shape, Neuron(0, np.zeros(prod(shape), dtype=np.int64)))
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
