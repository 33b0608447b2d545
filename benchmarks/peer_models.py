"""Our students in the simulators of others: the same layers and weights, their neurons, their way through time.

What stands before `Repeat` is computed once in all of them, and repeated in the way that each likes best.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec

import snntorch
import torch
from torch import nn

from kdsnn.choices import SURROGATES
from kdsnn.models.convolution import Convolution
from kdsnn.models.neurons import IF, Repeat
from kdsnn.models.students import Student

__all__ = ["PEERS", "SHAPES", "SLOPE", "awake", "importable", "make_peers"]

SHAPES = {"2conv": (1, 28, 28), "vgg11": (3, 32, 32)}  # of the images of our students
SLOPE = 2.0  # of the atan surrogate, in all of them
Net = Callable[[torch.Tensor], torch.Tensor]  # images (B, C, H, W) to output spikes (T, B, classes)


class Spikingjelly(nn.Module):
    """spikingjelly's multi-step mode: neurons and layers take `(T, B, ...)`. The repeated image is a view."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        before, after = _split(student)

        def made(module: nn.Module) -> nn.Module:
            if not isinstance(module, IF):
                steps: nn.Module = layer.SeqToANNContainer(module)
                return steps
            gradient = surrogate.ATan(SLOPE)
            fires: nn.Module = neuron.IFNode(surrogate_function=gradient, detach_reset=True, step_mode="m")
            return fires

        self.before, self.after = before, nn.Sequential(*map(made, after))
        self.timesteps, self.reset = student.timesteps, functional.reset_net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.reset(self.after)
        x = self.before(images)
        spikes: torch.Tensor = self.after(x.unsqueeze(0).expand(self.timesteps, *x.shape))
        return spikes


class Snntorch(nn.Module):
    """snnTorch's loop over the steps, each neuron handing its potential on. BatchNorm sees one step at a time."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        before, after = _split(student)

        def made(module: nn.Module) -> nn.Module:
            if not isinstance(module, IF):
                return module
            gradient = SURROGATES["atan"].gradient(SLOPE)
            fires: nn.Module = snntorch.Leaky(beta=1.0, reset_mechanism="zero", spike_grad=gradient)
            return fires

        self.before, self.after = before, nn.ModuleList(map(made, after))
        self.timesteps = student.timesteps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        drive, spikes = self.before(images), []
        states = {i: layer.init_leaky() for i, layer in enumerate(self.after) if isinstance(layer, snntorch.Leaky)}
        for _ in range(self.timesteps):
            x = drive
            for index, layer in enumerate(self.after):
                if index in states:
                    x, states[index] = layer(x, states[index])
                else:
                    x = layer(x)
            spikes.append(x)
        return torch.stack(spikes)


class Sinabs(nn.Module):
    """sinabs: neurons take `(B, T, ...)`, everything else `(B * T, ...)`; they fire at the threshold, too."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        import sinabs
        from sinabs.activation import MembraneReset, SingleSpike
        from sinabs.layers import IAFSqueeze

        before, after = _split(student)

        def gradient(potential: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
            return SLOPE / 2 / (1 + (math.pi / 2 * SLOPE * (potential - threshold)) ** 2)

        def made(module: nn.Module) -> nn.Module:
            if not isinstance(module, IF):
                return module
            fires: nn.Module = IAFSqueeze(
                num_timesteps=student.timesteps,
                spike_fn=SingleSpike,
                reset_fn=MembraneReset(),
                surrogate_grad_fn=gradient,
            )
            return fires

        self.before, self.after = before, nn.Sequential(*map(made, after))
        self.timesteps, self.reset = student.timesteps, sinabs.reset_states

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.reset(self.after)
        spikes: torch.Tensor = self.after(self.before(images).repeat_interleave(self.timesteps, 0))
        return spikes.reshape(len(images), self.timesteps, -1).transpose(0, 1)


PEERS: Mapping[str, type[nn.Module]] = {"spikingjelly": Spikingjelly, "snntorch": Snntorch, "sinabs": Sinabs}


def awake(student: Student, shape: tuple[int, int, int]) -> Student:
    """The student with BatchNorm statistics of random images, and gains at which spikes reach the output."""
    for module in student.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(module.weight, 2.0)
        elif isinstance(module, nn.Linear):
            module.weight.data *= 8
    with torch.no_grad():
        for _ in range(20):
            student.train()(torch.rand(16, *shape))
    return student.eval()


def importable() -> list[str]:
    """The peers that are installed."""
    return [name for name in PEERS if find_spec(name) is not None]


def make_peers(student: Student, names: Iterable[str] = tuple(PEERS)) -> dict[str, nn.Module]:
    """The student itself as `kdsnn`, and its peers with weights of their own that are equal."""
    return {"kdsnn": student, **{name: PEERS[name](copy.deepcopy(student)) for name in names}}


def _split(student: Student) -> tuple[nn.Module, list[nn.Module]]:
    """What is computed once, and what is computed at every step, by torch's layers."""
    layers = [_plain(layer) for layer in student.layers.children()]
    at = next(i for i, layer in enumerate(layers) if isinstance(layer, Repeat))
    return nn.Sequential(*layers[:at]), layers[at + 1 :]


def _plain(layer: nn.Module) -> nn.Module:
    """A convolution of torch's own instead of ours, with its weights."""
    if not isinstance(layer, Convolution):
        return layer
    size, stride = layer.kernel_size[0], layer.stride[0]
    made = nn.Conv2d(layer.in_channels, layer.out_channels, size, stride, size // 2, bias=False)
    made.load_state_dict(layer.state_dict())
    return made
