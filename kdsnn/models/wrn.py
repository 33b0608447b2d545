"""Pre-activation students: WRN16-2 (Zagoruyko and Komodakis 2016) and PreResNet20 (He et al. 2016).

The stream between the blocks is not spikes: it is the sum of what every block adds to it. Each population is driven by
the whole stream so far, through its BatchNorm.
"""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.models.blocks import conv, fire, readout
from kdsnn.models.kinds import StudentKind
from kdsnn.models.neurons import Repeat
from kdsnn.recipes.schema import StudentSection

__all__ = ["PRERESNET20", "WRN16_2", "preresnet20", "wrn16_2"]


class PreActivationBlock(nn.Module):
    """Norm, neurons, convolution, twice; added to the stream, or to a strided 1x1 convolution of the first spikes."""

    def __init__(self, section: StudentSection, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.if1, self.conv1 = nn.BatchNorm2d(before), fire(section), conv(before, after, 3, stride)
        self.norm2, self.if2, self.conv2 = nn.BatchNorm2d(after), fire(section), conv(after, after)
        self.shortcut = conv(before, after, 1, stride) if stride != 1 or before != after else None

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        """The stream with what this block adds to it."""
        spikes = self.if1(self.norm1(stream))
        kept = stream if self.shortcut is None else self.shortcut(spikes)
        out: torch.Tensor = kept + self.conv2(self.if2(self.norm2(self.conv1(spikes))))
        return out


class PreActivationNet(nn.Module):
    """A stem whose spikes start the stream, three stages of blocks, a last population, a mean, and a linear layer."""

    def __init__(
        self, section: StudentSection, channels: int, classes: int, sizes: tuple[int, int, int], blocks: int
    ) -> None:
        super().__init__()
        widths = [max(1, round(size * section.width)) for size in sizes]
        self.conv, self.norm = conv(channels, 16), nn.BatchNorm2d(16)
        self.repeat, self.fire = Repeat(section.timesteps), fire(section)
        stages, before = [], 16
        for stage, size in enumerate(widths):
            for index in range(blocks):
                stages.append(PreActivationBlock(section, before, size, 2 if stage and not index else 1))
                before = size
        self.blocks = nn.Sequential(*stages)
        self.last_norm, self.last = nn.BatchNorm2d(before), fire(section)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.linear, self.out = nn.Linear(before, classes, bias=False), readout(section)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Output spikes `(T * B, classes)` of images `(B, C, H, W)`."""
        stream = self.blocks(self.fire(self.repeat(self.norm(self.conv(images)))))
        spikes = self.last(self.last_norm(stream))
        out: torch.Tensor = self.out(self.linear(self.flatten(self.pool(spikes))))
        return out


def wrn16_2(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Two blocks a stage of 32, 64 and 128 channels; 0.69M parameters at width 1."""
    return PreActivationNet(section, input_shape[0], classes, (32, 64, 128), 2)


def preresnet20(section: StudentSection, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Three blocks a stage of 16, 32 and 64 channels."""
    return PreActivationNet(section, input_shape[0], classes, (16, 32, 64), 3)


PRERESNET20 = StudentKind(preresnet20, stages=("blocks.3.if1", "blocks.6.if1", "last"))
WRN16_2 = StudentKind(wrn16_2, stages=("blocks.2.if1", "blocks.4.if1", "last"))
