"""A small net of snnTorch's neurons, and what becomes of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import snntorch
import torch
from torch import nn

from kdsnn.export.lowering.lower import Lowered, lower_module
from kdsnn.export.lowering.module_agreement import ModuleAgreement, check_module, trial_images

T = 4
SHAPE = (1, 8, 8)
leaky = partial(snntorch.Leaky, beta=0.9, threshold=0.3, reset_mechanism="zero")


class Net(nn.Module):
    """A convolution and a dense layer in the tutorials' loop; `change` may get in between."""

    def __init__(self, change: Callable[[torch.Tensor], Any] = lambda x: x, neuron: Any = leaky) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.lif1 = nn.Conv2d(1, 4, 3), neuron()
        self.fc, self.lif2 = nn.Linear(4 * 36, 5), leaky()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes = []
        for _ in range(T):
            spk1, mem1 = self.lif1(self.change(self.conv(x)), mem1)
            spk2, mem2 = self.lif2(self.fc(spk1.flatten(1)), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


def lowered(net: nn.Module, shape: tuple[int, ...] = SHAPE, timesteps: int | None = None) -> Lowered:
    return lower_module(net.eval(), input_shape=shape, timesteps=timesteps, labels=None)


def measured(net: nn.Module, shape: tuple[int, ...] = SHAPE, timesteps: int | None = None) -> ModuleAgreement:
    """The measurement itself is tested below and by the random modules."""
    made = lowered(net, shape, timesteps)
    return check_module(net, made, made.network, trial_images(shape))
