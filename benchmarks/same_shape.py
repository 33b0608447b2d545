"""The student's twin without spikes, as a teacher: what it adds is neither more capacity nor more labels."""

from __future__ import annotations

from torch import nn

__all__ = ["relu_2conv"]


def relu_2conv(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """2conv with channels 8 and 16 and a hidden layer of 128, as the students of the plans are, with ReLU."""
    channels, height, width = input_shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * (height // 4) * (width // 4), 128, bias=False), nn.ReLU()),
        nn.Linear(128, classes, bias=False),
    )
