"""Random torch modules in the ways that people write them: layers, functions, hooks, parametrizations, loops over time.

Each says which forms it is made of. Some forms cannot be carried, and must be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune

from kdsnn.models.neurons import Repeat
from tests.export.lowering.random_nets import REFUSED, Net, OwnConv, OwnLinear, OwnNorm, Step, T
from tests.export.lowering.random_neurons import NeuronMaker

__all__ = ["REFUSED", "Net", "T", "random_module"]


def random_module(seed: int) -> tuple[Net, tuple[int, int, int], set[str]]:
    """A module in eval mode, the shape of its images, and the forms that it is made of."""
    return Maker(seed).make()


class Maker(NeuronMaker):
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.forms = set()

    def make(self) -> tuple[Net, tuple[int, int, int], set[str]]:
        style = self.one("loop", "hidden loop", "step", "folded")
        returns = "as it is"
        if style in ("loop", "hidden loop"):
            returns = self.one("stack", "tuple", "list", "sum", "mean", "added", "folded", "dict", trap=["last step"])
        self.net = Net(style, returns)
        if style != "folded" and self.chance(0.3):
            self.forms.add("in time")
            self.net.in_time = True
        shape = (int(self.rng.integers(1, 3)), int(self.rng.integers(6, 10)), int(self.rng.integers(6, 10)))
        self.shape = shape
        if self.chance(0.3):
            self.net.steps.append(self.constant())
        for stage in range(int(self.rng.integers(1, 3))):
            self.image_stage(first=stage == 0)
        self.flatten()
        for last in (False, True)[int(self.rng.integers(0, 2)) :]:
            self.dense_stage(last)
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                if name.endswith(("weight", "original", "original1", "weight_orig")) and parameter.dim() > 1:
                    parameter.mul_(2.0)
        return self.net.eval(), shape, self.forms

    def image_stage(self, first: bool) -> None:
        """Convolution, what may follow it, a neuron, and what may be done with spikes."""
        before, had = len(self.net.steps), self.shape
        self.convolve()
        if self.chance(0.4):
            self.norm()
        if self.chance(0.2) and min(self.shape[1:]) >= 4:
            self.net.steps.append(self.one_of_drives())
        if first and self.net.style == "folded":
            repeat = self.net.add(Repeat(T))
            self.net.steps.append(repeat)
        if self.chance(0.2) and had == self.shape and not first:
            self.residual(before)
        self.net.steps.append(self.neuron())
        if self.chance(0.5) and min(self.shape[1:]) >= 4:
            self.pool()
        if self.chance(0.3):
            self.net.steps.append(self.of_spikes())

    def convolve(self) -> None:
        form = self.one("Conv2d", "own Conv2d", "F.conv2d", "weight_norm", "orthogonal", "spectral_norm", "pruned",
                        "hooked", "pre-hooked", "own forward", trap=["circular", "half"])  # fmt: skip
        c_in, (height, width) = self.shape[0], self.shape[1:]
        c_out = c_in * int(self.rng.integers(1, 3)) if self.chance(0.3) else int(self.rng.integers(2, 5))
        groups = c_in if c_out % c_in == 0 and self.chance(0.3) else 1
        padding = 1 if min(height, width) < 4 else int(self.rng.integers(0, 2))
        stride = 2 if min(height, width) > 6 and self.chance(0.2) else 1
        settings: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups, "bias": self.chance(0.7)}
        if form == "circular":
            stride, padding, settings = 1, 1, {"padding": 1, "padding_mode": "circular"}
        conv: Any = (OwnConv if form == "own Conv2d" else nn.Conv2d)(c_in, c_out, 3, **settings)
        changes: dict[str, Callable[[], Any]] = {
            "weight_norm": lambda: parametrizations.weight_norm(conv),
            "spectral_norm": lambda: parametrizations.spectral_norm(conv),
            "orthogonal": lambda: parametrizations.orthogonal(conv),
            "pruned": lambda: prune.l1_unstructured(conv, "weight", amount=0.4),
            "hooked": lambda: conv.register_forward_hook(lambda _m, _a, out: 1.3 * out + 0.05),
            "pre-hooked": lambda: conv.register_forward_pre_hook(lambda _m, args: (0.6 * args[0],)),
            "own forward": lambda: setattr(conv, "forward", lambda x: 0.8 * conv._conv_forward(x, conv.weight, None)),
            "half": conv.half,
        }
        changes.get(form, lambda: None)()
        self.net.add(conv)
        if form == "F.conv2d":
            self.net.steps.append(
                lambda x: F.conv2d(x, conv.weight, bias=conv.bias, stride=stride, padding=padding, groups=groups)
            )
        else:
            self.net.steps.append(conv)
        self.shape = (c_out, *((n + 2 * padding - 3) // stride + 1 for n in (height, width)))

    def norm(self) -> None:
        form = self.one("BatchNorm2d", "own BatchNorm2d", trap=["batch statistics"])
        kind = OwnNorm if form == "own BatchNorm2d" else nn.BatchNorm2d
        norm = kind(self.shape[0], track_running_stats=form != "batch statistics")
        self.settle(norm)
        self.net.steps.append(self.net.add(norm))

    def settle(self, norm: Any) -> None:
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.1, 0.4)
            if norm.running_mean is not None:
                norm.running_mean.uniform_(-0.2, 0.2)
                norm.running_var.uniform_(0.2, 0.8)

    def one_of_drives(self) -> Step:
        form = self.one("add a number", "times a number", "add alpha", "subtract from", "divide", "constant image",
                        "mean of drives", often=0.3,
                        trap=["relu", "max of a drive", "flip", "clamp", "noise", "by numbers"])  # fmt: skip
        image = torch.rand(self.shape[0], 1, 1)
        self.net.layers.register_buffer(f"image{len(self.net.steps)}", image)
        if form == "mean of drives":
            self.shape = (self.shape[0], *(n // 2 for n in self.shape[1:]))
        if form == "max of a drive":
            self.shape = (self.shape[0], *(n - 1 for n in self.shape[1:]))
        forms: dict[str, Step] = {
            "add a number": lambda x: x + 0.25,
            "times a number": lambda x: 1.25 * x,
            "add alpha": lambda x: torch.add(input=x, other=x * 0.5, alpha=3),
            "subtract from": lambda x: 0.5 - x,
            "divide": lambda x: x.div(0.8),
            "constant image": lambda x: torch.mul(x, 0.5 + image.to(x.dtype)).sub_(0.1),
            "mean of drives": lambda x: F.avg_pool2d(x, 2),
            "relu": F.relu,
            "max of a drive": lambda x: F.max_pool2d(x, 2, 1),
            "flip": lambda x: x.flip(-1),
            "clamp": lambda x: x.clamp(-1, 1),
            "noise": lambda x: x + 0.1 * torch.randn_like(x),
            "by numbers": lambda x: x + 1 if x.sum() > 0 else x,
        }
        return forms[form]

    def constant(self) -> Step:
        form = self.one("normalised", "scaled image")
        return (lambda x: (x - 0.4) / 0.5) if form == "normalised" else (lambda x: x * 1.5)

    def residual(self, begin: int) -> None:
        """The steps since `begin`, and what they began with, together."""
        self.forms.add("residual")
        inner = self.net.steps[begin:]
        in_place = self.chance(0.5)

        def both(x: torch.Tensor) -> torch.Tensor:
            y = x
            for step in inner:
                y = step(y)
            if in_place:
                y += x
                return y
            return x + y

        self.net.steps[begin:] = [both]

    def pool(self) -> None:
        form = self.one("MaxPool2d", "F.max_pool2d", "AvgPool2d", "F.avg_pool2d", "adaptive", trap=["ceil mode"])
        forms: dict[str, Any] = {
            "MaxPool2d": nn.MaxPool2d(2),
            "F.max_pool2d": lambda x: F.max_pool2d(x, 2),
            "AvgPool2d": nn.AvgPool2d(2),
            "F.avg_pool2d": lambda x: F.avg_pool2d(x, kernel_size=(2, 2)),
            "adaptive": nn.AdaptiveAvgPool2d(1),
            "ceil mode": nn.MaxPool2d(3, 2, ceil_mode=True),
        }
        step = forms[form]
        if isinstance(step, nn.Module):
            self.net.add(step)
        self.net.steps.append(step)
        size = {"adaptive": lambda n: 1, "ceil mode": lambda n: -(-(n - 3) // 2) + 1}.get(form, lambda n: n // 2)
        self.shape = (self.shape[0], *(size(n) for n in self.shape[1:]))

    def of_spikes(self) -> Step:
        form = self.one("Dropout", "F.dropout", "Identity", "half as much", "clone",
                        trap=["product of spikes", "dropout", "part of an image"])  # fmt: skip
        net = self.net
        forms: dict[str, Any] = {
            "Dropout": net.add(nn.Dropout(0.5)) if form == "Dropout" else None,
            "F.dropout": lambda x: F.dropout(x, 0.3, training=net.training),
            "Identity": net.add(nn.Identity()) if form == "Identity" else None,
            "half as much": lambda x: x * 0.5,
            "clone": lambda x: (
                x.clone().detach().contiguous().to(torch.float64 if x.dtype == torch.float64 else x.dtype)
            ),
            "product of spikes": lambda x: x * x.mean(),
            "dropout": lambda x: F.dropout(x, 0.3),
            "part of an image": lambda x: x * torch.ones_like(x)[:, :1] - x[:, :1],
        }
        step: Step = forms[form]
        return step

    def flatten(self) -> None:
        size = int(np.prod(self.shape))
        flatten = self.net.add(nn.Flatten())
        forms: dict[str, Any] = {
            "Flatten": flatten,
            "torch.flatten": lambda x: torch.flatten(x, 1),
            "flatten(1)": lambda x: x.flatten(1),
            "view": lambda x: x.view(x.size(0), -1),
            "reshape": lambda x: x.reshape(-1, size),
        }
        self.net.steps.append(forms[self.one(*forms)])
        self.shape = (size,)

    def dense_stage(self, last: bool) -> None:
        size, made = self.shape[0], 4 if last else int(self.rng.integers(5, 9))
        form = self.one("Linear", "own Linear", "F.linear", "matrix by hooks")
        linear = (OwnLinear if form == "own Linear" else nn.Linear)(
            size, made, bias=self.chance(0.6) or form == "own Linear"
        )
        self.net.add(linear)
        if form == "matrix by hooks":
            linear.register_forward_hook(lambda _m, _a, out: out - 0.05)
        self.net.steps.append((lambda x: F.linear(x, linear.weight, linear.bias)) if form == "F.linear" else linear)
        self.shape = (made,)
        if self.chance(0.3):
            self.forms.add("BatchNorm1d")
            norm = self.net.add(nn.BatchNorm1d(made))
            self.settle(norm)
            self.net.steps.append(norm)
        self.net.steps.append(self.neuron())
