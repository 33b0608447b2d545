"""Pre-activation teachers for small images: WRN28-4 (Zagoruyko and Komodakis 2016) and PreResNet20 (He et al. 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.models.kinds import TeacherKind

__all__ = ["PRERESNET20", "WRN28_4", "preresnet20", "wrn28_4"]

STEM = 16  # channels


class PreActivation(nn.Module):
    """BatchNorm, ReLU, 3x3 convolution, twice; added to its input, or to a 1x1 convolution of the first activation."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(after), nn.Conv2d(after, after, 3, 1, 1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the same images, at half the size with a stride of 2."""
        active = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        out: torch.Tensor = kept + self.conv2(F.relu(self.norm2(self.conv1(active))))
        return out


class PreActivationNet(nn.Module):
    """A stem of 16 channels, three stages of blocks, a last norm, a mean over the image, and a linear layer."""

    def __init__(self, channels: int, classes: int, sizes: tuple[int, int, int], blocks: int, width: float) -> None:
        super().__init__()
        before = round(STEM * width)
        self.stem = nn.Conv2d(channels, before, 3, 1, 1, bias=False)
        stages = []
        for stage, size in enumerate(sizes):
            for index in range(blocks):
                after = round(size * width)
                stages.append(PreActivation(before, after, 2 if stage and not index else 1))
                before = after
        self.blocks, self.norm, self.head = nn.Sequential(*stages), nn.BatchNorm2d(before), nn.Linear(before, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(B, classes)` of images `(B, C, H, W)`."""
        features = F.relu(self.norm(self.blocks(self.stem(x))))
        logits: torch.Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def wrn28_4(channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Four blocks a stage of 64, 128 and 256 channels; 5.85M parameters for ten classes and three channels."""
    return PreActivationNet(channels, classes, (64, 128, 256), 4, width)


def preresnet20(channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Three blocks a stage of 16, 32 and 64 channels; 0.27M parameters."""
    return PreActivationNet(channels, classes, (16, 32, 64), 3, width)


PRERESNET20 = TeacherKind(preresnet20, stages=("blocks.3.norm1", "blocks.6.norm1", "norm"))
WRN28_4 = TeacherKind(wrn28_4, stages=("blocks.4.norm1", "blocks.8.norm1", "norm"))
