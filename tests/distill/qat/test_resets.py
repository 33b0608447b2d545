"""Fine-tuning with a reset by subtraction is the integer network; one that feeds itself is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.errors import NetworkError
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from tests.oracles import simulate_integer

T = 9


def network(reset_by: float | None, *, static: bool, own: bool = False) -> Network:
    rng = np.random.default_rng(2)
    populations = (
        Population("input", (2, 6, 6), Input(8, static)),
        Population("if1", (4, 6, 6), Neuron(0.9, np.zeros(144), decay_u=1.0, reset_by=reset_by)),
        Population("same", (4, 6, 6), Neuron(0.5, np.zeros(144), decay_u=1.0, reset_by=reset_by and 0.75)),
        Population("out", (3,), Neuron(1.0, rng.normal(0, 0.1, 3), decay_u=1.0, decay_v=0.25, reset_by=reset_by)),
    )
    projections = [
        Projection("input", "if1", Conv2d(rng.normal(0, 0.4, (4, 2, 3, 3)) / 255, padding=(1, 1))),
        Projection("if1", "same", Conv2d(np.ones((4, 1, 1, 1)), groups=4)),  # no OR: half a spike stays
        Projection("same", "out", Dense(rng.normal(0, 0.2, (3, 144)))),
    ]
    if own:
        projections.append(Projection("out", "out", Dense(rng.normal(0, 0.2, (3, 3)))))
    return Network("net", populations, tuple(projections), T, ("a", "b", "c"), integer=False)


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("reset_by", [None, 0.9, 0.5, 0.0])
def test_the_forward_pass_is_the_integer_network(reset_by: float | None, static: bool) -> None:
    net = network(reset_by, static=static)
    shape = net.image_shape
    images = ((np.random.default_rng(3).random((8, *shape)) < 0.4) * 255).astype(np.uint8)
    integer, report = quantize(net, input_bits=1, calibration=images, method="spikes")
    assert [p.model.reset_by is None for p in integer.spiking] == 3 * [reset_by is None]
    folded = FoldedNet(net, integer, report)
    integer, _ = folded.to_integer()  # rounded plainly
    with torch.no_grad():
        made = folded(torch.from_numpy(images))
    trains, _ = simulate_integer(integer, images)
    for name, train in trains.items():
        assert 0.02 < train.mean() < 1
        np.testing.assert_array_equal(made[name].transpose(0, 1).numpy().reshape(train.shape), train)


def test_a_population_that_feeds_itself_is_refused_by_name() -> None:
    net = network(1.0, static=False, own=True)
    integer, report = quantize(net, input_bits=1)
    with pytest.raises(NetworkError, match="population 'out' feeds itself, and such a network cannot be fine-tuned"):
        FoldedNet(net, integer, report)
    without = replace(net, projections=net.projections[:-1])
    FoldedNet(without, *quantize(without, input_bits=1))
