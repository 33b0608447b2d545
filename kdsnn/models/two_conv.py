"""The paper's small student for MNIST: two convolutions, two max pools, one hidden layer."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.blocks import conv, fire, readout
from kdsnn.models.kinds import StudentKind
from kdsnn.models.neurons import Repeat
from kdsnn.recipes.schema import StudentSection

__all__ = ["STUDENT", "two_conv"]


def two_conv(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The paper's 2conv: 128C3-BN-IF-MP2-128C3-BN-IF-MP2-1152-IF-10-IF, without biases."""
    channels, height, width = input_shape
    default = (round(128 * section.width), round(128 * section.width))
    sizes = section.channels or default
    hidden = section.hidden or round(1152 * section.width)
    if len(sizes) != 2 or min(*sizes, hidden, height // 4, width // 4) < 1:
        raise RecipeError(f"2conv takes two channel counts and images of 4x4 at least, not {sizes} and {input_shape}")
    flat = sizes[1] * (height // 4) * (width // 4)

    return nn.Sequential(
        OrderedDict(
            conv1=conv(channels, sizes[0]),
            norm1=nn.BatchNorm2d(sizes[0]),
            repeat=Repeat(section.timesteps),
            if1=fire(section),
            pool1=nn.MaxPool2d(2),
            conv2=conv(sizes[0], sizes[1]),
            norm2=nn.BatchNorm2d(sizes[1]),
            if2=fire(section),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear3=nn.Linear(flat, hidden, bias=False),
            if3=fire(section),
            linear4=nn.Linear(hidden, classes, bias=False),
            if4=readout(section),
        )
    )


STUDENT = StudentKind(two_conv, stages=("if1", "if2"), options=frozenset({"channels", "hidden"}))
