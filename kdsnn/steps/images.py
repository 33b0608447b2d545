"""The images that a command shows to a network, and their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import load_dataset
from kdsnn.errors import InputError
from kdsnn.steps.models import Model

__all__ = ["select_images"]

SAMPLE_SEED = 0  # which test images a smaller sample takes
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def select_images(
    model: Model,
    *,
    dataset: str | None = None,
    images: Path | None = None,
    samples: int | None = None,
) -> tuple[Images, Labels | None]:
    """The images to evaluate on, and their labels where they have any.

    Args:
        model: what will see them; its run says which data set it was trained on.
        dataset: take the test split of this one.
        images: an `.npz` file with `x` `(N, C, H, W)` uint8 and perhaps `y` `(N,)`.
        samples: at most so many: the first of the file, or a fixed random sample of the data set.
    """
    if images is not None:
        x, y = _read_images(images)
        return (x[:samples], None if y is None else y[:samples])
    name = dataset or model.network.provenance.get("dataset")
    if name is None:
        raise InputError(f"{model.path} does not say what it was trained on", hint="name one: --dataset or --images")
    split = load_dataset(name).test
    if samples is None or samples >= len(split.images):
        return split.images, split.labels
    chosen = np.random.default_rng(SAMPLE_SEED).permutation(len(split.images))[:samples]
    return split.images[chosen], split.labels[chosen]


def _read_images(path: Path) -> tuple[Images, Labels | None]:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as data:
            x = data["x"]
            y = data.get("y")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not an .npz file with an array 'x': {error}", hint="write one with numpy.savez(path, x=x, y=y)"
        ) from error
    return x, y
