"""A neuron that feeds itself, driven by one thing at the first step and by another from then on: refused by name.

Its own spikes are in the drive from the second step on, so that this drive is another object than the first: whether it
is the same function beside them is found by comparison.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.lower import Lowered, lower_module
from kdsnn.export.lowering.module_agreement import trial_images
from tests.oracles import simulate_float

T, SHAPE, IMAGES = 5, (2, 6, 5), 6


def neuron() -> Any:
    return snntorch.Leaky(0.8, threshold=0.3, spike_grad=lambda v: (v > 0).to(v.dtype))


class Changing(nn.Module):
    """Two layers of neurons; `first` drives the second at the first step, and `then` at all others."""

    def __init__(self, first: nn.Module, then: nn.Module, *, swaps: bool = False) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(2, 3, 3, padding=1, bias=False) for _ in range(2))
        self.first, self.then, self.loop = first, then, nn.Conv2d(3, 3, 1, bias=False)
        self.lif1, self.lif2, self.out = neuron(), neuron(), neuron()
        self.swaps = swaps
        with torch.no_grad():
            for layer in (self.one, self.two):
                layer.weight.mul_(4)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, mem3, made = self.lif1.reset_mem(), self.lif2.reset_mem(), self.out.reset_mem(), []
        for _ in range(T):
            spk1, mem1 = self.lif1(self.one(x), mem1)
            spk2, mem2 = self.lif2(self.two(x), mem2)
            later = spk2 if self.swaps else spk1
            drive = self.then(later) + self.loop(made[-1]) if made else self.first(spk1)
            spk3, mem3 = self.out(drive, mem3)
            made.append(spk3)
        return torch.stack(made)


def conv(**said: Any) -> nn.Conv2d:
    torch.manual_seed(1)
    made = nn.Conv2d(3, 3, 3, **{"padding": 1} | said)
    with torch.no_grad():
        made.weight.mul_(3)
    return made


def lowered(net: nn.Module) -> Lowered:
    return lower_module(net, input_shape=SHAPE, timesteps=T, labels=None)


def test_an_equal_layer_in_its_place_is_carried() -> None:
    torch.manual_seed(0)
    net, images = Changing(conv(), copy.deepcopy(conv())), trial_images(SHAPE, IMAGES)
    with torch.no_grad():
        wanted = net(torch.from_numpy(images).double() / 255).transpose(0, 1).numpy()
    assert 0 < wanted.mean() < 1
    np.testing.assert_array_equal(simulate_float(lowered(net).network, images)["out"], wanted)


def heavier(layer: nn.Conv2d) -> None:
    layer.weight[1, 2, 0, 1] += 0.01


def more(layer: nn.Conv2d) -> None:
    layer.bias[1] += 0.01


def wider(layer: nn.Conv2d) -> None:
    layer.padding = layer.dilation = (2, 2)


@pytest.mark.parametrize("change", [heavier, more, wider])
def test_a_layer_that_is_another_after_the_first_step_is_refused(change: Callable[[nn.Conv2d], None]) -> None:
    then = conv()
    with torch.no_grad():
        change(then)
    with pytest.raises(LoweringError, match=r"layer 'out'.*what drives it is not the same at each time step"):
        lowered(Changing(conv(), then))


@pytest.mark.parametrize("layers", [(conv(), conv()), (nn.Identity(), nn.Identity()), (conv(), nn.Identity())])
def test_another_source_after_the_first_step_is_refused(layers: tuple[nn.Module, nn.Module]) -> None:
    swaps = type(layers[0]) is type(layers[1])
    with pytest.raises(LoweringError, match=r"layer 'out'.*what drives it is not the same at each time step"):
        lowered(Changing(*layers, swaps=swaps))


def test_one_path_more_after_the_first_step_is_refused() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0.5 * x

    with pytest.raises(LoweringError, match=r"layer 'out'.*what drives it is not the same at each time step"):
        lowered(Changing(nn.Identity(), Twice()))
