"""What random modules are made of: layers with forwards of their own, and a stack of steps in the styles of loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.models.neurons import MultiStep

T = 3
LOOPS = (snntorch.RLeaky, snntorch.RSynaptic)
Step = Callable[[torch.Tensor], torch.Tensor]
REFUSED = {  # forms that no network of populations and projections says
    "relu", "max of a drive", "circular", "batch statistics", "own neuron", "graded spikes",
    "quantized state", "ceil mode", "product of spikes", "flip", "clamp", "noise", "dropout",
    "beta vector", "longer loop", "delay", "state as drive", "by numbers", "Lapicque", "late reset of a current",
    "late reset of a loop", "early subtraction", "beta zero", "half", "rests again", "part of an image", "last step",
}  # fmt: skip


class OwnConv(nn.Conv2d):
    """A convolution with a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.7 * super().forward(x) + 0.1


class OwnLinear(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight.abs(), self.bias) - 0.2


class OwnNorm(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 1.5


class OwnLeaky(snntorch.Leaky):
    def forward(self, x: torch.Tensor, mem: Any = None) -> Any:
        return super().forward(2 * x, mem)


class Net(nn.Module):
    """A stack of steps. In the style `loop`, neurons are given their state; else they keep it."""

    def __init__(self, style: str, returns: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.steps: list[Step] = []
        self.style, self.returns = style, returns
        self.states: dict[int, Any] = {}
        self.once_a_step = style == "step"
        self.in_time = False

    def add(self, module: nn.Module) -> nn.Module:
        self.layers.append(module)
        return module

    def one_step(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x

    def neuron(self, cell: Any) -> Step:
        self.add(cell)
        if isinstance(cell, MultiStep) or cell.init_hidden:
            return lambda x: (cell(x) if not getattr(cell, "output", False) else cell(x)[0]).to(x.dtype)

        def stateful(x: torch.Tensor) -> torch.Tensor:
            state = self.states.get(id(cell))
            if state is None:
                state = cell.reset_mem()
                state = state if isinstance(state, tuple) else (state,)
            spikes, *kept = cell(x, *state)
            self.states[id(cell)] = [spikes, *kept] if isinstance(cell, LOOPS) else kept
            return spikes.to(x.dtype)  # surrogates answer in float32

        return stateful

    def forward(self, x: torch.Tensor) -> Any:
        if self.style in ("step", "folded"):
            return self.one_step(x)
        self.states.clear()
        for layer in self.modules():
            if isinstance(layer, snntorch.SpikingNeuron):
                layer.reset_mem()
        spikes, states = [], []
        for step in range(x.size(0) if self.in_time else T):
            spikes.append(self.one_step(x[step] if self.in_time else x))
            states.append(list(self.states.values())[-1][-1] if self.states else spikes[-1])
        results: dict[str, Callable[[], Any]] = {
            "stack": lambda: torch.stack(spikes),
            "tuple": lambda: (torch.stack(spikes, dim=0), torch.stack(states, dim=0)),
            "list": lambda: spikes,
            "sum": lambda: torch.stack(spikes).sum(0),
            "mean": lambda: torch.stack(spikes).mean(dim=0),
            "added": lambda: sum(spikes),
            "folded": lambda: torch.cat(spikes),
            "dict": lambda: {"spikes": torch.stack(spikes), "potentials": torch.stack(states)},
            "last step": lambda: spikes[-1],
        }
        return results[self.returns]()
