"""A data set in a file, so that what was in memory can be read again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset
from kdsnn.data.sources.splits import as_given
from kdsnn.files.writing import write_atomic

__all__ = ["save_data"]


def save_data(dataset: Dataset, path: Path) -> None:
    """Writes a data set with its split and the names of its classes to an `.npz` file, which is read as the same again.

    Raises:
        InputError: it cannot be written.
    """
    buffer, train = io.BytesIO(), as_given(dataset.train)
    arrays: dict[str, npt.NDArray[Any]] = {
        "x_train": train.images,
        "y_train": train.labels,
        "x_test": dataset.test.images,
        "y_test": dataset.test.labels,
        "classes": np.array(dataset.labels),
    }
    if dataset.steps is not None:
        arrays["steps"] = np.array(dataset.steps)
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_atomic(path, buffer.getvalue())
