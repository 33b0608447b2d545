"""A data set in a file, so that what was in memory can be read again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from kdsnn.data.datasets import Dataset
from kdsnn.data.sources.splits import as_given
from kdsnn.run_folders import write_atomic

__all__ = ["save_data"]


def save_data(dataset: Dataset, path: Path) -> None:
    """Writes a data set with its split and the names of its classes to an `.npz` file, which is read as the same again.

    Raises:
        InputError: it cannot be written.
    """
    buffer, train = io.BytesIO(), as_given(dataset.train)
    np.savez_compressed(
        buffer,
        x_train=train.images,
        y_train=train.labels,
        x_test=dataset.test.images,
        y_test=dataset.test.labels,
        classes=np.array(dataset.labels),
    )
    write_atomic(path, buffer.getvalue())
