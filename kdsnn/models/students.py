"""Spiking students. To add one: a builder, and a line in `STUDENTS`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.blocks import conv, fire, readout
from kdsnn.models.neurons import Repeat
from kdsnn.models.spiking_resnet import resnet14, resnet18
from kdsnn.models.vgg import vgg11, vgg16
from kdsnn.models.wrn import preresnet20, wrn16_2
from kdsnn.recipes.schema import StudentSection

__all__ = ["STUDENTS", "Student", "build_student", "student_names"]

Shape = tuple[int, int, int]


class Student(nn.Module):
    """A spiking network over T steps.

    Attributes:
        layers: from images `(B, C, H, W)` in [0, 1] to output spikes `(T * B, classes)`, all images of a step together;
            what `kdsnn.export.lowering` reads. Where the readout is the membrane, they are what drives it at a step.
        timesteps: T.
    """

    def __init__(self, layers: nn.Module, timesteps: int) -> None:
        super().__init__()
        self.layers = layers
        self.timesteps = timesteps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Output spikes, or drives, `(T, B, classes)` of images `(B, C, H, W)` in [0, 1]."""
        spikes: torch.Tensor = self.layers(images)
        return spikes.reshape(self.timesteps, len(images), -1)

    def rates(self, images: torch.Tensor) -> torch.Tensor:
        """Firing rates `(B, classes)`: output spikes, or the potential after the last step, over T."""
        rates: torch.Tensor = self(images).mean(dim=0)
        return rates


def build_student(section: StudentSection, input_shape: Shape, classes: int) -> Student:
    """The student of a recipe, with new random weights.

    Raises:
        RecipeError: there is no such student, or it does not fit the images.
    """
    if section.model not in STUDENTS:
        raise RecipeError(f"there is no student {section.model!r}", hint=f"students are: {', '.join(student_names())}")
    given = {name for name in ("channels", "hidden") if getattr(section, name) is not None}
    if unknown := given - OPTIONS.get(section.model, set()):
        raise RecipeError(f"student {section.model!r} takes no {' and no '.join(sorted(unknown))}", hint="use width")
    return Student(STUDENTS[section.model](section, input_shape, classes), section.timesteps)


def student_names() -> list[str]:
    """Names of all students."""
    return sorted(STUDENTS)


def _two_conv(section: StudentSection, input_shape: Shape, classes: int) -> nn.Module:
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


STUDENTS: dict[str, Callable[[StudentSection, Shape, int], nn.Module]] = {
    "2conv": _two_conv,
    "preresnet20": preresnet20,
    "resnet14": resnet14,
    "resnet18": resnet18,
    "vgg11": vgg11,
    "vgg16": vgg16,
    "wrn16-2": wrn16_2,
}
OPTIONS = {"2conv": {"channels", "hidden"}, "vgg11": {"hidden"}, "vgg16": {"hidden"}}  # beside width
