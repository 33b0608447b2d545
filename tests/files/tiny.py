"""A network of a convolution and a dense layer, small enough for tests that read and write it often."""

import numpy as np

from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection


def tiny_network() -> Network:
    """An image of 4 x 4 through 2 channels of 3 x 3 neurons to 3 classes, over 4 steps."""
    rng = np.random.default_rng(0)
    conv = Conv2d(rng.integers(-9, 10, (2, 1, 2, 2)).astype(np.int16))
    dense = Dense(rng.integers(-9, 10, (3, 18)).astype(np.int16))
    populations = (
        Population("input", (1, 4, 4), Input(8)),
        Population("conv", (2, 3, 3), Neuron(90, np.zeros(18, np.int64))),
        Population("out", (3,), Neuron(9, np.zeros(3, np.int64))),
    )
    projections = (Projection("input", "conv", conv), Projection("conv", "out", dense))
    return Network("tiny", populations, projections, 4, ("a", "b", "c"), integer=True)
