"""What the deep students are built of. Convolutions have no bias; each population is driven through a BatchNorm."""

from __future__ import annotations

from torch import nn

from kdsnn.models.convolution import Convolution
from kdsnn.models.neurons import IF
from kdsnn.recipes.schema import StudentSection

__all__ = ["conv", "fire", "readout"]


def fire(section: StudentSection) -> IF:
    """The neurons of a recipe."""
    return IF(section.timesteps, surrogate=section.surrogate, slope=section.slope, reset=section.reset)


def readout(section: StudentSection) -> nn.Module:
    """What the last linear layer drives: the neurons of a recipe, or nothing that fires."""
    return fire(section) if section.readout == "rate" else nn.Identity()


def conv(before: int, after: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size of the image, or divides it by the stride."""
    return Convolution(before, after, size, stride, size // 2, bias=False)
