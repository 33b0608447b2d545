"""Spike encoders: from images in [0, 1] to T steps. Rate and latency codes are snnTorch's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from snntorch import spikegen

__all__ = ["ENCODERS", "direct", "latency", "rate"]

DARKEST = 0.5 / 255  # a pixel below it is black


def direct(images: torch.Tensor, timesteps: int) -> torch.Tensor:
    """The analog image at every step: `(B, ...)` becomes `(T, B, ...)`."""
    return images.unsqueeze(0).expand(timesteps, *images.shape)


def rate(images: torch.Tensor, timesteps: int) -> torch.Tensor:
    """At every step a spike with the pixel's value as its probability, `(T, B, ...)`."""
    spikes: torch.Tensor = spikegen.rate(images, num_steps=timesteps)
    return spikes


def latency(images: torch.Tensor, timesteps: int) -> torch.Tensor:
    """One spike a pixel, the earlier the brighter, linear in time; black pixels stay silent. `(T, B, ...)`."""
    spikes: torch.Tensor = spikegen.latency(
        images, num_steps=timesteps, normalize=True, linear=True, clip=True, threshold=DARKEST
    )
    return spikes


ENCODERS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "direct": direct,
    "latency": latency,
    "rate": rate,
}
