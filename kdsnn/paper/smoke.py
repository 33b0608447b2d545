"""A pass over a whole table in minutes: small random images in the data sets' own formats, tiny models, one epoch.

Every row is really trained, end to end. The accuracies say nothing.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kdsnn.data.files import CIFAR_FILES
from kdsnn.files.writing import write_atomic
from kdsnn.jobs.local_processes import variables

__all__ = ["SMOKE", "smoke_data"]

SMOKE = (  # changes of every recipe
    "data.train_samples=40",
    "teacher.width=0.0625",
    "teacher.epochs=1",
    "teacher.batch_size=20",
    "student.width=0.0625",
    "student.timesteps=2",
    "train.epochs=1",
    "train.batch_size=20",
)
IMAGES = 40  # of each file
CLASSES = 10


@contextmanager
def smoke_data() -> Iterator[None]:
    """Lets data sets and runs lie in a temporary folder, for this process and those that it starts."""
    with tempfile.TemporaryDirectory(prefix="kdsnn-smoke-") as name:
        root = Path(name)
        rng = np.random.default_rng(0)
        _write_cifar10(root / "data" / "cifar-10-batches-bin", rng)
        for dataset in ("mnist", "fashion-mnist"):
            _write_idx(root / "data" / dataset, rng)
        with variables({"KDSNN_DATA": str(root / "data"), "KDSNN_RUNS": str(root / "runs")}):
            yield


def _write_cifar10(folder: Path, rng: np.random.Generator) -> None:
    for file in (file for files in CIFAR_FILES.values() for file in files):
        pixels = rng.integers(0, 256, (IMAGES, 3 * 32 * 32), dtype=np.uint8)
        write_atomic(folder / file, np.column_stack([_labels(), pixels]).tobytes())


def _write_idx(folder: Path, rng: np.random.Generator) -> None:
    for split in ("train", "t10k"):
        pixels = rng.integers(0, 256, (IMAGES, 28, 28), dtype=np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", _labels())):
            header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            write_atomic(folder / f"{split}-{kind}-ubyte", header + array.tobytes())


def _labels() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return (np.arange(IMAGES) % CLASSES).astype(np.uint8)
