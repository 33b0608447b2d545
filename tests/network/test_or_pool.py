"""Max pools of spikes: which populations are, and that no target that takes a maximum takes it of others."""

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest

from kdsnn.evaluation import check_same
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.or_pool import max_pool
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.onnx import OnnxTarget
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import random_images


def pooling(weight: int = 1, exponent: int = 0, padding: int = 0, **neuron: Any) -> Network:
    """Two layers; between them windows of 2 x 2 with these synapses and neurons."""
    rng = np.random.default_rng(0)
    image = Population("input", (1, 8, 8), Input(8))
    first = Population("first", (2, 8, 8), Neuron(150, rng.integers(-50, 50, 128), 3))
    op = Conv2d(np.full((2, 1, 2, 2), weight), (2, 2), (padding, padding), groups=2)
    shape = op.output_shape(first.shape)
    pooled = Population("pool", shape, replace(Neuron(0, np.zeros(prod(shape), dtype=np.int64)), **neuron))
    out = Population("out", (3,), Neuron(90, np.zeros(3, dtype=np.int64)))
    projections = (
        Projection("input", "first", Conv2d(rng.integers(-2, 3, (2, 1, 3, 3)), padding=(1, 1))),
        Projection("first", "pool", op, exponent),
        Projection("pool", "out", Dense(rng.integers(-60, 90, (3, prod(shape))))),
    )
    return Network("pooling", (image, first, pooled, out), projections, 4, ("a", "b", "c"), integer=True)


@pytest.mark.parametrize(
    ("network", "taken"),
    [
        (pooling(), True),
        (pooling(padding=1), True),
        (pooling(padding=3), True),  # some windows see nothing
        (pooling(weight=3, threshold=2), True),
        (pooling(weight=3, exponent=1, threshold=5), True),
        (pooling(weight=3, exponent=1, threshold=6), False),  # the second spike makes it fire
        (pooling(weight=1, threshold=3), False),
        (pooling(weight=-1), False),
        (pooling(bias=np.ones(32, dtype=np.int64), bias_exponent=7), False),
        (pooling(decay_u=2000), False),  # a spike is felt twice
        (pooling(decay_v=2000), True),  # nothing stays that could leak
    ],
)
def test_a_population_that_fires_where_any_input_does_is_no_sum(network: Network, taken: bool) -> None:
    assert (max_pool(network, network.population("pool")) is not None) == taken
    assert max_pool(network, network.population("first")) is None
    images = random_images(network, 6)
    wanted = ReferenceTarget().compile(network).run(images, record="all")
    assert 0 < wanted.spikes["first"].mean() < 1
    for target in (GpuTarget("cpu"), GpuTarget("cpu", "float32"), OnnxTarget(), OnnxTarget(flavour="int8")):
        check_same(target.compile(network).run(images, record="all"), wanted)
