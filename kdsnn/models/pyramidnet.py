"""PyramidNet (Han, Kim and Kim 2017) for small images: every block is wider than the one before by the same step.

The paper's "PyramidNet18" (1.56M parameters, 368.74M operations) is no variant that we could find. With basic blocks,
stems of 8 to 64 channels, alpha of 8 to 300 and stages of (2, 2, 2, 2), (2, 2, 2), (3, 3, 3), (4, 4, 4), (4, 4) or
uneven numbers of blocks, none has both. This is the nearest that has the parameters: four blocks a stage, a stem of 32
channels, alpha 93; 369.08M operations by the paper's convention.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.models.kinds import TeacherKind

__all__ = ["TEACHER", "pyramidnet18"]

STEM, ALPHA, STAGES, BLOCKS = 32, 93, 3, 4


class PyramidBlock(nn.Module):
    """Norm, convolution, norm, ReLU, convolution, norm; added to the input, with zeros for the channels it lacks."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(before), nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(after), nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(after)
        self.stride, self.lacking = stride, after - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the same images, at half the size with a stride of 2."""
        inner = self.norm3(self.conv2(F.relu(self.norm2(self.conv1(self.norm1(x))))))
        kept = x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)
        out: torch.Tensor = inner + F.pad(kept, (0, 0, 0, 0, 0, self.lacking))
        return out


class PyramidNet(nn.Module):
    """A stem, stages of blocks, a last norm, a mean over the image, and a linear layer."""

    def __init__(self, channels: int, classes: int, width: float) -> None:
        super().__init__()
        stem, step = STEM * width, ALPHA * width / (STAGES * BLOCKS)
        before = round(stem)
        self.stem = nn.Sequential(nn.Conv2d(channels, before, 3, 1, 1, bias=False), nn.BatchNorm2d(before))
        blocks = []
        for index in range(STAGES * BLOCKS):
            after = round(stem + step * (index + 1))
            blocks.append(PyramidBlock(before, after, 2 if index and index % BLOCKS == 0 else 1))
            before = after
        self.blocks, self.norm, self.head = nn.Sequential(*blocks), nn.BatchNorm2d(before), nn.Linear(before, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `(B, classes)` of images `(B, C, H, W)`."""
        features = F.relu(self.norm(self.blocks(self.stem(x))))
        logits: torch.Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def pyramidnet18(channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """The nearest to the paper's; 1.56M parameters for ten classes and three channels."""
    return PyramidNet(channels, classes, width)


TEACHER = TeacherKind(pyramidnet18, stages=("blocks.4.norm1", "blocks.8.norm1", "norm"))
