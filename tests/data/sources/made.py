"""Small data of one's own for the tests: arrays, files, and folders of images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.uint8]


def numbered(samples: int, classes: int = 2, shape: tuple[int, ...] = (2, 3)) -> tuple[Array, npt.NDArray[np.int64]]:
    """Images whose first two pixels are their number, and labels that go round."""
    images = np.random.default_rng(0).integers(0, 256, (samples, *shape), dtype=np.uint8)
    flat = images.reshape(samples, -1)
    flat[:, 0], flat[:, 1] = np.arange(samples) // 256, np.arange(samples) % 256
    return images, np.arange(samples, dtype=np.int64) % classes


def numbers(images: Array) -> list[int]:
    """Which of the numbered images these are."""
    flat = images.reshape(len(images), -1).astype(int)
    return (flat[:, 0] * 256 + flat[:, 1]).tolist()


def folder(
    path: Path,
    images: Array,
    labels: Sequence[int] | npt.NDArray[np.int64],
    classes: Sequence[str],
    suffix: str = ".png",
) -> Path:
    """A folder with a folder for each class; `(N, H, W)` grey or `(N, H, W, 3)`."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = path / classes[int(label)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:05}{suffix}")
    return path
