"""ResNet18 for small images (He et al. 2016, with the 3x3 stem that is usual for CIFAR)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.models.kinds import TeacherKind

__all__ = ["TEACHER", "resnet18"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut: the identity, or a strided 1x1 convolution."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.relu = nn.ReLU()  # a module, so that features can be taken before it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the same images, at half the size with a stride of 2."""
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        out: torch.Tensor = self.relu(inner + self.shortcut(x))
        return out


class ResNet(nn.Module):
    """A stem, four stages of two blocks, a mean over the image, and a linear layer."""

    def __init__(self, channels: int, classes: int, width: float) -> None:
        super().__init__()
        sizes = [round(size * width) for size in (64, 128, 256, 512)]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, sizes[0], 3, 1, 1, bias=False), nn.BatchNorm2d(sizes[0]), nn.ReLU()
        )
        blocks, before = [], sizes[0]
        for stage, size in enumerate(sizes):
            blocks += [BasicBlock(before, size, 1 if stage == 0 else 2), BasicBlock(size, size, 1)]
            before = size
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(B, classes)` of images `(B, C, H, W)`."""
        features = self.blocks(self.stem(x))
        logits: torch.Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def resnet18(channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """ResNet18; 11.17M parameters for ten classes.

    Args:
        channels: of the images.
        classes: number of logits.
        width: multiplies the channels.
    """
    return ResNet(channels, classes, width)


TEACHER = TeacherKind(resnet18, stages=("blocks.1.relu", "blocks.3.relu", "blocks.5.relu", "blocks.7.relu"))
