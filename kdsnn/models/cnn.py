"""A small convolutional teacher, for small images and machines without a GPU."""

from __future__ import annotations

from torch import nn

from kdsnn.models.kinds import TeacherKind

__all__ = ["TEACHER", "cnn"]


def cnn(channels: int, classes: int, width: float = 1.0) -> nn.Module:
    """Two stages of two 3x3 convolutions, each pooled by 2; a fifth convolution; a mean over the image; a linear layer.

    Each convolution is followed by BatchNorm and ReLU.

    Args:
        channels: of the images.
        classes: number of logits.
        width: multiplies the 32 and 64 channels.
    """
    first, second = round(32 * width), round(64 * width)
    return nn.Sequential(
        *_block(channels, first),
        *_block(first, first),
        nn.MaxPool2d(2),
        *_block(first, second),
        *_block(second, second),
        nn.MaxPool2d(2),
        *_block(second, 2 * second),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * second, classes),
    )


def _block(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)


TEACHER = TeacherKind(cnn, stages=("5", "12", "16"))
