"""Networks and images in time: how a student is shown them, and what a teacher, which knows no time, sees of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from kdsnn.data.encoders import DIRECT, encoded
from kdsnn.models.neurons import Repeat

__all__ = ["encode_batch", "fold", "frame_of", "give_frames", "see_means"]


def frame_of(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """What is seen at one time step, `(C, H, W)` or `(F,)`, of images of that shape, which in time begins with T."""
    return image_shape[1:] if len(image_shape) in (2, 4) else image_shape


def fold(images: torch.Tensor) -> torch.Tensor:
    """Images in time `(B, T, ...)` with time in the batch, `(T * B, ...)`: all images of the first step first."""
    return images.transpose(0, 1).flatten(0, 1)


def give_frames(layers: nn.Module) -> nn.Module:
    """A student's layers, from now on for images in time: they are given `(T * B, ...)`, and repeat nothing."""
    for layer in layers.modules():
        if isinstance(layer, Repeat):
            layer.folded = True
    return layers


def encode_batch(images: torch.Tensor, encode: str, timesteps: int) -> torch.Tensor:
    """Still images `(B, ...)` in [0, 1] as a network is shown them: encoded, `(B, T, ...)` of zeros and ones."""
    if encode == DIRECT:
        return images
    pixels = (images * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    spikes = encoded(np.ascontiguousarray(pixels), encode, timesteps)
    return torch.from_numpy(spikes).to(images.device).to(images.dtype) / 255


def see_means(teacher: nn.Module, image_shape: tuple[int, ...]) -> nn.Module:
    """A teacher that sees of images in time `(B, T, ...)` the mean of their frames: their sum, scaled to [0, 1].

    Names of its modules and weights stay what they are.
    """
    axes = 1 + len(image_shape)
    if frame_of(image_shape) == image_shape:
        return teacher

    def mean(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (given[0].mean(dim=1), *given[1:]) if given[0].ndim == axes else given

    teacher.register_forward_pre_hook(mean)
    return teacher
