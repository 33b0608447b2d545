"""Noise on images, seeded and pure: `(N, C, H, W)` uint8 in, the same out; see `kdsnn.choices.NOISES`.

Of images in time, `(N, T, C, H, W)`, all frames are turned by one angle and lie over one photograph; pixels that are
drawn one by one are drawn anew for each frame.

Each takes a level from 0, which leaves the images as they are, to 1. The draws of a seed are the same at every level:
those of one seed differ in strength alone. At level 1 the variants of MNIST are those of Larochelle et al.,
"An empirical evaluation of deep architectures on problems with many factors of variation" (ICML 2007); interpolation,
composition and what counts as texture are settled here, in each docstring. Their own files hold other images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.choices import NOISES
from kdsnn.data.encoders import SPIKE, holds_spikes
from kdsnn.data.photographs import Part, patches

__all__ = [
    "BACK_IMAGE",
    "BACK_RAND",
    "GAUSSIAN",
    "ROTATE",
    "ROT_BACK_IMAGE",
    "ImageNoise",
    "Images",
    "add_noise",
    "back_image",
    "back_rand",
    "gaussian",
    "rot_back_image",
    "rotate",
    "rotated",
]

Images = npt.NDArray[np.uint8]
Noise = Callable[[Images, float, int, Part], Images]
CHUNK = 4096  # images rotated at once: bounds the memory


def gaussian(images: Images, sigma: float, seed: int, _part: Part = "test") -> Images:
    """Each pixel plus a normal deviate of standard deviation `sigma`, for pixels from 0 to 1; rounded, and clipped.

    `x' = clip(round(x + 255 * sigma * n), 0, 255)`, `n ~ N(0, 1)`, independent for each pixel and channel.
    """
    rng = np.random.default_rng(seed)
    noisy = np.empty_like(images)
    for clean, out in zip(images, noisy, strict=True):
        deviates = rng.standard_normal(clean.shape)
        out[...] = np.clip(np.rint(clean + 255 * sigma * deviates), 0, 255)
    return noisy


def rotate(images: Images, level: float, seed: int, _part: Part = "test") -> Images:
    """Each image turned by an angle of its own, uniform in `[0, level * 2 pi)`: MNIST-rot. See `rotated`."""
    return rotated(images, level * _angles(np.random.default_rng(seed), len(images)))


def back_rand(images: Images, level: float, seed: int, _part: Part = "test") -> Images:
    """Each image over a background of independent pixels, uniform in 0..255, times `level`: MNIST-back-rand.

    A pixel is the larger one of image and background, so that strokes win over what lies behind them.
    """
    background = np.random.default_rng(seed).integers(0, 256, images.shape, dtype=np.uint8)
    return np.maximum(images, _scaled(background, level))


def back_image(images: Images, level: float, seed: int, part: Part = "test") -> Images:
    """Each image over a patch of a photograph, times `level`: MNIST-back-image. See `kdsnn.data.photographs`.

    A pixel is the larger one of image and background. Patches for training and for tests come from parts of the
    photographs that have no pixel in common.
    """
    return _over_photographs(images, level, np.random.default_rng(seed), part)


def rot_back_image(images: Images, level: float, seed: int, part: Part = "test") -> Images:
    """Each image turned as `rotate` does it, then over an upright patch as in `back_image`: MNIST-rot-back-image."""
    rng = np.random.default_rng(seed)
    turned = rotated(images, level * _angles(rng, len(images)))
    return _over_photographs(turned, level, rng, part)


def rotated(images: Images, angles: npt.NDArray[np.float64]) -> Images:
    """Each image turned about its centre by its angle in radians, anticlockwise; bilinear, with black from outside."""
    import torch
    import torch.nn.functional as F

    height, width = images.shape[-2:]
    planes = images.reshape(len(images), -1, height, width)  # the frames of an image are turned as its channels are
    turned = np.empty_like(planes)
    for begin in range(0, len(images), CHUNK):
        part = slice(begin, begin + CHUNK)
        cosine, sine = np.cos(angles[part]), np.sin(angles[part])
        zero = np.zeros_like(cosine)
        rows = (cosine, -sine * height / width, zero, sine * width / height, cosine, zero)
        theta = torch.from_numpy(np.stack(rows, axis=1).reshape(-1, 2, 3))
        pixels = torch.from_numpy(planes[part].astype(np.float64))
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        turned[part] = F.grid_sample(pixels, grid, align_corners=False).round().clamp(0, 255).to(torch.uint8).numpy()
    return turned.reshape(images.shape)


def _angles(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return rng.random(count) * 2 * np.pi


def _over_photographs(images: Images, level: float, rng: np.random.Generator, part: Part) -> Images:
    channels, height, width = images.shape[-3:]
    background = _scaled(patches(len(images), (channels, height, width), part, rng), level)
    return np.maximum(images, background if images.ndim == background.ndim else background[:, None])


def _scaled(background: Images, level: float) -> Images:
    scaled: Images = np.rint(background * np.float32(level)).astype(np.uint8)
    return scaled


@dataclass(frozen=True)
class ImageNoise:
    """A kind of noise on images. Level 0 is no noise, and 1 the most.

    Attributes:
        add: from images, level, seed and part (training or test images) to noisy images.
        level: what the level is.
        levels: that are usual.
        vectors: whether it is noise on vectors `(N, F)`, too.
        frames: whether it is noise on frames in time, too: the same for all frames of an image, but for what is drawn
            for each pixel.
    """

    add: Noise
    level: str
    levels: tuple[float, ...]
    vectors: bool = False
    frames: bool = True


def add_noise(kind: str, images: Images, level: float, seed: int) -> Images:
    """Test images, still or in time, with noise of a kind; spikes stay spikes, for what is brighter than half."""
    noise: ImageNoise = NOISES.get(kind)
    if images.ndim != 5:
        return noise.add(images, level, seed, "test")
    flat = images.reshape(len(images), -1, *images.shape[3:])
    noisy = noise.add(flat, level, seed, "test").reshape(images.shape)
    return np.where(noisy > 127, SPIKE, np.uint8(0)) if holds_spikes(images) else noisy


PAPER = (0.01, 0.03, 0.05)  # the sigmas of the paper's table 2
BRIGHTNESS = (0.25, 0.5, 0.75, 1.0)
GAUSSIAN = ImageNoise(gaussian, "sigma, for pixels from 0 to 1", (*PAPER, 0.1, 0.2, 0.4), vectors=True)
ROTATE = ImageNoise(rotate, "largest angle, as a share of a full turn", (0.05, 0.1, 0.25, 0.5, 1.0))
BACK_RAND = ImageNoise(back_rand, "brightness of a background of random pixels", BRIGHTNESS, vectors=True)
BACK_IMAGE = ImageNoise(back_image, "brightness of a background of photographs", BRIGHTNESS, frames=False)
ROT_BACK_IMAGE = ImageNoise(
    rot_back_image, "share of a full turn, and brightness of photographs", BRIGHTNESS, frames=False
)
