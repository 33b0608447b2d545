"""Data sets with the same noise on their images every time, as `NAME-VARIANT`: `mnist5k-rot-back-image`."""

from __future__ import annotations

from pathlib import Path

from kdsnn.choices import NOISES, VARIANTS, VARIED
from kdsnn.data.datasets import Dataset, Split, load_dataset
from kdsnn.data.image_noise import ImageNoise

__all__ = ["load"]

SEED = 2007  # of the noise on training images; test images have the next


def load(name: str, root: Path) -> Dataset:
    """The data set of that name, after Larochelle et al. (ICML 2007)."""
    base = next(b for b in sorted(VARIED, key=len, reverse=True) if name.startswith(f"{b}-"))
    noise: ImageNoise = NOISES.get(VARIANTS[name.removeprefix(f"{base}-")])
    plain = load_dataset(base, root)
    train = Split(noise.add(plain.train.images, 1.0, SEED, "train"), plain.train.labels)
    test = Split(noise.add(plain.test.images, 1.0, SEED + 1, "test"), plain.test.labels)
    return Dataset(name, train, test, plain.labels)
