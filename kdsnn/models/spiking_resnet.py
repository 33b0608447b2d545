"""ResNet14 and ResNet18 as spiking students: both convolutions of a block end in one population with its shortcut."""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.models.blocks import conv, fire, readout
from kdsnn.models.kinds import StudentKind
from kdsnn.models.neurons import Repeat
from kdsnn.recipes.schema import StudentSection

__all__ = ["RESNET14", "RESNET18", "resnet14", "resnet18"]


class SpikingBlock(nn.Module):
    """Two 3x3 convolutions; the identity, or a strided 1x1 convolution, joins them at the second population."""

    def __init__(self, section: StudentSection, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1, self.if1 = conv(before, after, 3, stride), nn.BatchNorm2d(after), fire(section)
        self.conv2, self.norm2, self.if2 = conv(after, after), nn.BatchNorm2d(after), fire(section)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes `(T * B, C, H, W)` of the second population."""
        inner = self.norm2(self.conv2(self.if1(self.norm1(self.conv1(x)))))
        out: torch.Tensor = self.if2(inner + self.shortcut(x))
        return out


class SpikingResNet(nn.Module):
    """A stem, stages of blocks, a mean over the image, and a linear layer into the output population."""

    def __init__(
        self, section: StudentSection, input_shape: tuple[int, int, int], classes: int, blocks: tuple[int, ...]
    ) -> None:
        super().__init__()
        sizes = [max(1, round(size * section.width)) for size in (64, 128, 256, 512)]
        self.conv, self.norm = conv(input_shape[0], sizes[0]), nn.BatchNorm2d(sizes[0])
        self.repeat, self.fire = Repeat(section.timesteps), fire(section)
        stages, before = [], sizes[0]
        for stage, (size, count) in enumerate(zip(sizes, blocks, strict=True)):
            for index in range(count):
                stages.append(SpikingBlock(section, before, size, 2 if stage and not index else 1))
                before = size
        self.blocks = nn.Sequential(*stages)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.linear, self.out = nn.Linear(before, classes, bias=False), readout(section)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Output spikes `(T * B, classes)` of images `(B, C, H, W)`."""
        x = self.fire(self.repeat(self.norm(self.conv(images))))
        out: torch.Tensor = self.out(self.linear(self.flatten(self.pool(self.blocks(x)))))
        return out


def resnet18(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two blocks in each of four stages; 11.17M parameters at width 1."""
    return SpikingResNet(section, input_shape, classes, (2, 2, 2, 2))


def resnet14(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """One block in the outer stages and two in the inner ones."""
    return SpikingResNet(section, input_shape, classes, (1, 2, 2, 1))


RESNET14 = StudentKind(resnet14, stages=("blocks.0.if2", "blocks.2.if2", "blocks.4.if2", "blocks.5.if2"))
RESNET18 = StudentKind(resnet18, stages=("blocks.1.if2", "blocks.3.if2", "blocks.5.if2", "blocks.7.if2"))
