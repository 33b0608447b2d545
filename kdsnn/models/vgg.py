"""VGG11 and VGG16 as spiking students (Simonyan and Zisserman 2015): max-pooled, classifier 512-512-classes."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.blocks import conv, fire, readout
from kdsnn.models.kinds import StudentKind
from kdsnn.models.neurons import Repeat
from kdsnn.recipes.schema import StudentSection

__all__ = ["VGG11", "VGG16", "vgg11", "vgg16"]

POOL = 0
PLAN11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)
PLAN16 = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL)


def vgg11(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Eight 3x3 convolutions; 9.75M parameters at width 1 for 32x32 images of three channels."""
    return _vgg(PLAN11, section, input_shape, classes)


def vgg16(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Thirteen 3x3 convolutions."""
    return _vgg(PLAN16, section, input_shape, classes)


def _vgg(plan: tuple[int, ...], section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    channels, height, width = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    number = 0
    for size in plan:
        if size == POOL:
            if min(height, width) >= 2:  # a small image is pooled until one pixel is left
                layers[f"pool{number}"] = nn.MaxPool2d(2)
                height, width = height // 2, width // 2
            continue
        number += 1
        after = max(1, round(size * section.width))
        layers[f"conv{number}"] = conv(channels, after)
        layers[f"norm{number}"] = nn.BatchNorm2d(after)
        if number == 1:
            layers["repeat"] = Repeat(section.timesteps)
        layers[f"if{number}"] = fire(section)
        channels = after
    if min(height, width) < 1:
        raise RecipeError(f"vgg cannot take images of {input_shape}")
    layers["flatten"] = nn.Flatten()
    hidden = section.hidden or max(1, round(512 * section.width))
    before = channels * height * width
    for index in (number + 1, number + 2):
        layers[f"linear{index}"] = nn.Linear(before, hidden, bias=False)
        layers[f"if{index}"] = fire(section)
        before = hidden
    layers[f"linear{number + 3}"] = nn.Linear(before, classes, bias=False)
    layers[f"if{number + 3}"] = readout(section)
    return nn.Sequential(layers)


VGG11 = StudentKind(vgg11, stages=("if1", "if2", "if4", "if6", "if8"), options=frozenset({"hidden"}))
VGG16 = StudentKind(vgg16, stages=("if2", "if4", "if7", "if10", "if13"), options=frozenset({"hidden"}))
