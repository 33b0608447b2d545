"""1,797 digits of 8 x 8 pixels from scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdsnn.data.datasets import DIGITS, SPLIT_SEED, Dataset, Split, stratified
from kdsnn.extras import naming_extras

__all__ = ["load"]


def load(name: str, _root: Path) -> Dataset:
    """The data set; 360 of its images are the test split."""
    with naming_extras():
        from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    test, train = stratified(Split(pixels, labels.astype(np.int64)), 360, SPLIT_SEED)
    return Dataset(name, train, test, DIGITS)
