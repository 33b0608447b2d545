"""What happens to a batch of training images, on tensors, from a generator of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from kdsnn.choices import AUGMENTATIONS

__all__ = ["affine", "augmented", "crop", "crop_flip", "flip", "turn", "unchanged"]

MAX_TURN = math.radians(10)
MAX_SCALING = 0.1
MAX_SHIFT = 0.14  # of half the image: 2 pixels of 28
CROP_MARGIN = 4


def augmented(images: torch.Tensor, name: str, generator: torch.Generator, *, spikes: bool = False) -> torch.Tensor:
    """A batch after the augmentation of that name, which does the same to all frames of an image in time.

    Args:
        images: `(B, C, H, W)`, or in time `(B, T, C, H, W)`, in [0, 1]; vectors are left as they are by `none` alone.
        name: one of `kdsnn.choices.AUGMENTATIONS`.
        generator: of what is random.
        spikes: whether values are zeros and ones, which interpolation must leave so.
    """
    function = AUGMENTATIONS.get(name)
    if images.ndim != 5:
        made: torch.Tensor = function(images, generator)
        return made
    made = function(images.flatten(1, 2), generator).reshape(images.shape)
    return made.round() if spikes else made


def unchanged(images: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
    """The images as they are."""
    return images


def affine(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image turned by up to 10 degrees, scaled by up to 10% and shifted by up to 7% of its size."""
    turn, scaling, shift_x, shift_y = _on(images.device, _uniform((4, len(images)), generator))
    angle, scale = turn * MAX_TURN, 1 + scaling * MAX_SCALING
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    return _warped(images, (cosine, -sine, shift_x * MAX_SHIFT, sine, cosine, shift_y * MAX_SHIFT), border="zeros")


def crop_flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image shifted by up to 4 pixels and mirrored or not: what is usual for CIFAR-10."""
    offsets = torch.randint(0, 2 * CROP_MARGIN + 1, (2, len(images)), generator=generator)
    return _cropped(images, offsets, torch.rand(len(images), generator=generator) < 0.5)


def crop(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image shifted by up to 4 pixels: for what has a left and a right."""
    offsets = torch.randint(0, 2 * CROP_MARGIN + 1, (2, len(images)), generator=generator)
    return _cropped(images, offsets, torch.zeros(len(images), dtype=torch.bool))


def _cropped(images: torch.Tensor, offsets: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Each image shifted by its two offsets, less the margin, and mirrored or not."""
    (batch, _, height, width), device = images.shape, images.device
    padded, offsets, mirrored = F.pad(images, [CROP_MARGIN] * 4), _on(device, offsets), _on(device, mirrored)
    rows, columns = offsets[0][:, None] + torch.arange(height, device=device), torch.arange(width, device=device)
    columns = offsets[1][:, None] + torch.where(mirrored[:, None], columns.flip(0), columns)
    index = torch.arange(batch, device=device)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image mirrored or not."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(_on(images.device, mirrored)[:, None, None, None], images.flip(-1), images)


def turn(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image turned by a random number of quarters and by up to 10 degrees more; edges are reflected."""
    quarters = torch.randint(0, 4, (len(images),), generator=generator) * (math.pi / 2)
    angle = _on(images.device, quarters + _uniform((len(images),), generator) * MAX_TURN)
    cosine, sine, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    return _warped(images, (cosine, -sine, zero, sine, cosine, zero), border="reflection")


def _warped(images: torch.Tensor, rows: Sequence[torch.Tensor], *, border: str) -> torch.Tensor:
    """Each image under an affine map of its own: six numbers `(B,)`, row by row."""
    theta = torch.stack(tuple(rows), dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=border, align_corners=False)


def _on(device: torch.device, drawn: torch.Tensor) -> torch.Tensor:
    """What was drawn on the CPU on the device, which goes on with its work meanwhile."""
    return drawn.to(device, non_blocking=True)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * 2 - 1
