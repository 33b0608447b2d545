"""Networks for the tests of the nengo-loihi target."""

from __future__ import annotations

import numpy as np

from kdsnn.network import NEVER, Conv2d, Dense, Input, Network, Neuron, Population, Projection


def chain(populations: tuple[Population, ...], ops: list[Conv2d | Dense], exponents: list[int], steps: int) -> Network:
    """Populations that feed one another, each the next."""
    pairs = zip(populations, populations[1:], ops, exponents, strict=False)
    projections = tuple(Projection(a.name, b.name, op, exponent) for a, b, op, exponent in pairs)
    labels = tuple(str(i) for i in range(populations[-1].neurons))
    return Network("chain", populations, projections, steps, labels, integer=True)


def summing(last_weight: int, *, exponent: int = 0, decay_u: int = 4096, bits: int = 1, steps: int = 2) -> Network:
    """A neuron that a white image drives by 258 times 127 and once by `last_weight` weight units."""
    weight = np.array([[127] * 258 + [last_weight]])
    out = Population("out", (1,), Neuron(NEVER, np.zeros(1, dtype=np.int64), decay_u=decay_u, fires=False))
    return chain((Population("in", (259,), Input(bits)), out), [Dense(weight)], [exponent], steps)


def clipping() -> Network:
    """Inhibition of 32,512 weight units a step, for nine steps, then excitation by as much.

    The potential clips at 131,072 below zero in the fifth step; a neuron that did not clip would not fire by the end.
    """
    neuron = Neuron(1000, np.zeros(1, dtype=np.int64), clips=True)
    populations = (
        Population("in", (1, 1, 4), Input(1, static=False)),
        Population("first", (4,), Neuron(0, np.zeros(4, dtype=np.int64))),
        Population("middle", (1,), neuron),
        Population("out", (2,), Neuron(0, np.zeros(2, dtype=np.int64))),
    )
    into = Dense(np.array([[-127, -127, 127, 127]]))
    return chain(populations, [Dense(np.eye(4, dtype=np.int64)), into, Dense(np.array([[1], [2]]))], [0, 7, 0], 15)


def large(decay_u: int, decay_v: int) -> Network:
    """The largest weights and biases that the accumulator takes."""
    rng = np.random.default_rng(5)
    neuron = Neuron(2000, rng.integers(-4096, 4096, 9), 4, decay_u, decay_v)
    last = Neuron(NEVER, rng.integers(-4096, 4096, 9), 4, decay_u, decay_v, fires=False)
    populations = (Population("in", (12, 1, 1), Input(8)), Population("a", (9,), neuron), Population("b", (9,), last))
    ops: list[Conv2d | Dense] = [Dense(rng.integers(-8, 9, (9, 12))), Dense(rng.integers(-127, 128, (9, 9)))]
    return chain(populations, ops, [0, 4], 3)


def steady(bits: int) -> Network:
    """A population that the image enters by weights of zero alone, beside two that hear it: it feeds the last."""
    rng = np.random.default_rng(2)

    def neurons(name: str, threshold: int, decay_u: int = 4096) -> Population:
        return Population(name, (6,), Neuron(threshold, rng.integers(0, 300, 6), 3, decay_u, 100))

    populations = (
        Population("in", (2, 3, 4), Input(bits)),
        neurons("first", 90 << bits),
        neurons("second", 40, decay_u=2000),
        neurons("steady", 30, decay_u=3000),
        neurons("out", 60, decay_u=1000),
    )
    pairs = [
        ("in", "first", 24),
        ("first", "second", 6),
        ("in", "steady", 0),
        ("second", "out", 6),
        ("steady", "out", 6),
    ]
    projections = tuple(
        Projection(a, b, Dense(rng.integers(-8, 12, (6, n)) if n else np.zeros((6, 24), dtype=np.int64)), 3 * (n == 6))
        for a, b, n in pairs
    )
    return Network("steady", populations, projections, 5, tuple("abcdef"), integer=True)
