"""The images that a command shows to a network, their labels, and which these are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import load_dataset
from kdsnn.data.identity import DataIdentity, identify
from kdsnn.errors import InputError
from kdsnn.network.arrays import freeze
from kdsnn.steps.models import Model

__all__ = ["Selection", "select_images"]

SAMPLE_SEED = 0  # which test images a smaller sample takes
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """Images `(N, C, H, W)` uint8, their labels `(N,)` where they have any, and which these are."""

    images: Images
    labels: Labels | None
    identity: DataIdentity


def select_images(
    model: Model,
    *,
    dataset: str | None = None,
    images: Path | None = None,
    samples: int | None = None,
) -> Selection:
    """The images to evaluate on.

    Args:
        model: what will see them; its network says which data set it was trained on.
        dataset: take the test split of this one.
        images: an `.npz` file with `x` `(N, C, H, W)` uint8 and perhaps `y` `(N,)`.
        samples: at most so many: the first of the file, or a fixed random sample of the data set.
    """
    if images is not None:
        x, y = _read_images(images)
        how = "all" if samples is None or samples >= len(x) else "first"
        return _selection(x[:samples], None if y is None else y[:samples], images.name, None, how)
    name = dataset or model.network.provenance.get("dataset")
    if name is None:
        raise InputError(f"{model.path} does not say what it was trained on", hint="name one: --dataset or --images")
    split = load_dataset(name).test
    if samples is None or samples >= len(split.images):
        return _selection(split.images, split.labels, name, "test", "all")
    chosen = np.random.default_rng(SAMPLE_SEED).permutation(len(split.images))[:samples]
    return _selection(split.images[chosen], split.labels[chosen], name, "test", f"random, seed {SAMPLE_SEED}")


def _selection(images: Images, labels: Labels | None, name: str, split: str | None, selection: str) -> Selection:
    freeze(images, *(() if labels is None else (labels,)))  # the checksum shall stay true
    return Selection(images, labels, identify(images, labels, name, split, selection))


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
