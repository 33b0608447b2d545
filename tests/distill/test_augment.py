"""Augmentations: the same generator makes the same images, and none leaves what is allowed."""

import pytest
import torch

from kdsnn.choices import AUGMENTATIONS
from kdsnn.distill.augment import affine, crop_flip, flip, turn


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 3, 9, 7)])
def test_seeded_and_of_the_same_shape_and_range(name: str, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape)
    state = torch.get_rng_state()
    first = AUGMENTATIONS[name](images, seeded(1))
    assert torch.equal(first, AUGMENTATIONS[name](images, seeded(1)))
    assert first.shape == images.shape
    assert first.dtype == images.dtype
    assert first.min() >= 0
    assert first.max() <= images.max() + 1e-6  # interpolated, in float32
    assert torch.equal(state, torch.get_rng_state())  # torch's own generator is left alone
    if name != "none":
        assert not torch.equal(first, AUGMENTATIONS[name](images, seeded(2)))


def test_affine_moves_a_point_by_a_few_pixels_only() -> None:
    images = torch.zeros(200, 1, 29, 29)
    images[:, 0, 14, 14] = 1.0
    moved = affine(images, seeded(3))[:, 0]
    where = torch.arange(29.0)
    mass = moved.sum(dim=(1, 2))
    rows = (moved.sum(dim=2) * where).sum(dim=1) / mass - 14
    assert rows.abs().max() < 3.5  # 7% of 29 pixels, scaled by up to 1.1, and half a pixel of interpolation
    assert rows.abs().max() > 1.0


def test_crop_flip_moves_whole_pixels_and_mirrors_half() -> None:
    images = torch.arange(1.0, 10 * 10 + 1).reshape(1, 1, 10, 10).repeat(400, 1, 1, 1)
    moved = crop_flip(images, seeded(4))
    assert set(moved.unique().tolist()) <= {0.0, *images[0].unique().tolist()}
    steps = moved[:, 0, 5, 5] - moved[:, 0, 5, 4]  # the middle is never cut off
    assert set(steps.tolist()) == {1.0, -1.0}
    assert 150 < int((steps < 0).sum()) < 250
    assert any(torch.equal(image, images[0]) for image in moved)


def test_flip_mirrors_half() -> None:
    images = torch.rand(400, 1, 4, 5)
    moved = flip(images, seeded(5))
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(moved, images, strict=True)]
    assert all(m or torch.equal(a, b) for m, a, b in zip(mirrored, moved, images, strict=True))
    assert 150 < sum(mirrored) < 250


def test_turn_goes_by_quarters_and_a_little() -> None:
    images = torch.zeros(400, 1, 29, 29)
    images[:, 0, 14, 22] = 1.0  # eight pixels to the right of the middle
    moved, where = turn(images, seeded(6))[:, 0], torch.arange(29.0) - 14
    mass = moved.sum(dim=(1, 2))
    right, down = (moved.sum(dim=axis) @ where / mass for axis in (1, 2))
    angle = torch.rad2deg(torch.atan2(down, right))
    off = (angle + 45) % 90 - 45
    assert off.abs().max() < 12  # ten degrees, and half a pixel of eight
    assert off.abs().max() > 7
    quarters = torch.round((angle - off) / 90).remainder(4).int().bincount(minlength=4)
    assert quarters.min() > 70
