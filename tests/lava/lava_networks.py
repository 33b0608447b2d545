"""Networks for the tests of the Lava target."""

from __future__ import annotations

from math import prod

import numpy as np

from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection, Shape


def neurons(name: str, shape: Shape, threshold: int, *, bias: int | None = None, **fields: int) -> Population:
    """A population with random biases up to `bias`, or none."""
    rng = np.random.default_rng(len(name) + prod(shape))
    values = rng.integers(-bias, bias + 1, prod(shape)) if bias else np.zeros(prod(shape))
    return Population(name, shape, Neuron(threshold, values.astype(np.int16), **fields))


def or_pool(channels: int) -> Conv2d:
    """Fires where any cell of a 2 x 2 window did, given threshold 0."""
    return Conv2d(np.ones((channels, 1, 2, 2), dtype=np.int16), stride=(2, 2), groups=channels)


def everything(*, timesteps: int, bits: int, seed: int = 0) -> Network:
    """A network with every feature that Lava must get right: see the comments."""
    rng = np.random.default_rng(seed)

    def w(*shape: int, low: int = -12, high: int = 15) -> np.ndarray:
        return rng.integers(low, high, shape).astype(np.int16)

    scale = 2 ** (bits - 1)  # thresholds grow with the messages
    populations = (
        Population("in", (2, 7, 9), Input(bits)),  # H is not W
        neurons("a", (4, 4, 8), 60 * scale, bias=4000, bias_exponent=3, decay_v=300, decay_u=3000),  # leak and current
        neurons("b", (4, 4, 8), 12 * scale, decay_v=4095),
        neurons("c", (8, 4, 8), 200, bias=900, bias_exponent=0),
        neurons("dead.end", (5,), 50),  # no projection leaves it
        neurons("pool", (8, 2, 4), 0),
        neurons("excited", (12,), 150, decay_u=2048),
        neurons("inhibited", (12,), 0, bias=4000, bias_exponent=1),
        neurons("out", (7,), 40),
    )
    projections = (
        # the kernel is no square; stride, padding and exponent differ by axis
        Projection("in", "a", Conv2d(w(4, 2, 3, 2), stride=(2, 1), padding=(1, 0)), exponent=1),
        Projection(
            "in", "b", Conv2d(w(4, 1, 2, 2), stride=(2, 1), padding=(1, 1), dilation=(2, 3), groups=2), exponent=0
        ),
        Projection("a", "c", Conv2d(w(8, 1, 1, 3), padding=(0, 1), groups=4), exponent=2),
        Projection("b", "c", Conv2d(w(8, 4, 3, 3, low=-128, high=128), padding=(1, 1))),  # two projections add up
        Projection("a", "dead.end", Dense(w(5, 128))),  # one population feeds a convolution and a dense projection
        Projection("c", "pool", or_pool(8)),
        Projection("pool", "excited", Dense(w(12, 64, low=0, high=8) | 1)),  # odd and positive: Lava's sign mode
        Projection("pool", "inhibited", Dense(-(w(12, 64, low=0, high=2) | 0)), exponent=0),  # and none positive
        Projection("excited", "out", Dense(w(7, 12, low=-127, high=128))),
        Projection("inhibited", "out", Dense(w(7, 12)), exponent=3),
    )
    return Network("everything", populations, projections, timesteps, tuple("abcdefg"), True)


def graded_dense(shape: Shape) -> Network:
    """Eight-bit pixels straight into a dense projection."""
    rng = np.random.default_rng(3)
    populations = (
        Population("in", shape, Input(8)),
        neurons("hidden", (9,), 2000, bias=4000, bias_exponent=4),
        neurons("out", (4,), 3),
    )
    projections = (
        Projection("in", "hidden", Dense(rng.integers(-10, 12, (9, prod(shape))).astype(np.int16))),
        Projection("hidden", "out", Dense(rng.integers(-5, 9, (4, 9)).astype(np.int16))),
    )
    return Network("graded", populations, projections, 3, tuple("abcd"), True)


def images(network: Network, samples: int, seed: int = 1) -> np.ndarray:
    """Random images, some of their pixels black."""
    rng = np.random.default_rng(seed)
    shape = (samples, *network.input.shape)
    return (rng.integers(0, 256, shape) * (rng.random(shape) < 0.7)).astype(np.uint8)
