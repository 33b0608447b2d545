"""Which images a result belongs to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset, checksum

__all__ = ["DataIdentity", "identify", "identify_test"]


@dataclass(frozen=True)
class DataIdentity:
    """Which images a result belongs to.

    Attributes:
        name: of the data set, or of the file.
        split: of the data set; None for a file.
        selection: which of them: `all`, `random, seed 0`, or `first`.
        samples: how many.
        sha256: of images and labels, with their shapes.
    """

    name: str
    split: str | None
    selection: str
    samples: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """All by name."""
        return asdict(self)


def identify(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None,
    name: str,
    split: str | None = None,
    selection: str = "all",
) -> DataIdentity:
    """The identity of images `(N, C, H, W)` and of their labels `(N,)`, where they have any."""
    return DataIdentity(name, split, selection, len(images), checksum(images, labels))


def identify_test(dataset: Dataset) -> DataIdentity:
    """The identity of the whole test split, on which teachers and students are measured."""
    return identify(dataset.test.images, dataset.test.labels, dataset.name, "test")
