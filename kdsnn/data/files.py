"""The file formats of MNIST (idx, plain or gzipped) and CIFAR-10 (binary batches), and downloads by torchvision."""

from __future__ import annotations

import contextlib
import gzip
import socket
import struct
import sys
from collections.abc import Iterator
from http.client import HTTPException
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.published_files import data_set_of, data_set_of_bytes
from kdsnn.data.sources.columns import MOST_LABELS
from kdsnn.errors import InputError
from kdsnn.files.reading import check_unpacked, reading

__all__ = [
    "download",
    "has_cifar_binary",
    "has_idx",
    "known_as",
    "missing",
    "read_cifar_binary",
    "read_cifar_torchvision",
    "read_idx",
]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
IDX_NAMES = [f"{s}-{k}" for s in ("train", "t10k") for k in ("images-idx3-ubyte", "labels-idx1-ubyte")]
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
LARGEST = 2**40  # bytes of one array
LARGEST_BATCH = 2**28  # bytes of one CIFAR-10 batch; the real ones have 3e7
SILENCE_S = 30.0  # a server that sends nothing for so long is given up


def has_idx(folder: Path) -> bool:
    """Whether a folder holds the four files."""
    return all(_idx_files(folder, name) for name in IDX_NAMES)


def known_as(folder: Path, name: str) -> set[str]:
    """The data sets to which the labels belong that `name` would be given of a folder, as far as they are known."""
    found = {data_set_of(path) for kind in IDX_NAMES if "labels" in kind if (path := _idx_file(folder, kind, name))}
    return {known for known in found if known is not None}


def read_idx(folder: Path, split: str, name: str) -> tuple[Images, Labels]:
    """Images `(N, 1, H, W)` and labels `(N,)` of `train` or `t10k`.

    Args:
        folder: that holds the files.
        split: `train` or `t10k`.
        name: of the data set.

    Raises:
        InputError: a file is truncated, is not idx, or is known to be of another data set.
    """
    images = _read_idx_file(folder, f"{split}-images-idx3-ubyte", 3, name)
    labels = _read_idx_file(folder, f"{split}-labels-idx1-ubyte", 1, name)
    return images[:, None], labels.astype(np.int64)


def _idx_files(folder: Path, file_name: str) -> list[Path]:
    return [path for path in (folder / file_name, folder / f"{file_name}.gz") if path.is_file()]


def _idx_file(folder: Path, file_name: str, name: str) -> Path | None:
    """The file, plain or packed; where both are there, the one that is of this data set, or of none that is known."""
    there = _idx_files(folder, file_name)
    if len(there) > 1:
        of = {path: data_set_of(path) for path in there}
        there.sort(key=lambda path: (of[path] not in (name, None), of[path] != name))
    return next(iter(there), None)


def _read_idx_file(folder: Path, file_name: str, dimensions: int, name: str) -> Images:
    path = _idx_file(folder, file_name, name)
    if path is None:
        raise InputError(f"there is no file {folder / file_name}")
    with (
        reading(path, hint="it may be truncated: fetch it again"),
        gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file,
    ):
        head = file.read(4 * (1 + dimensions))
        magic, *shape = struct.unpack(f">{1 + dimensions}I", head)
        size = prod(shape)
        if dimensions == 1 and size > MOST_LABELS:
            raise InputError(f"{path} says that it has {size:,} labels, more than {MOST_LABELS:,}")
        if magic != 0x0800 + dimensions or size > LARGEST:
            raise InputError(f"{path} is not an idx file of {dimensions} dimensions of bytes")
        check_unpacked(path, 2 * size, path.stat().st_size)  # it is held twice
        data = file.read(size + 1)  # one more, so that gzip checks its sum at the end
    if len(data) != size:
        what = f"truncated: {len(data)} of" if len(data) < size else "longer than its"
        raise InputError(f"{path} is {what} {size} bytes", hint="fetch it again")
    known = data_set_of_bytes(head + data) or data_set_of(path)
    if known not in (name, None):
        raise InputError(f"{path} is a file of {known}, not of {name}", hint=f"keep {known} in a folder of its own")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def has_cifar_binary(folder: Path) -> bool:
    """Whether a folder holds all batches of CIFAR-10 in the binary format."""
    return all((folder / name).is_file() for names in CIFAR_FILES.values() for name in names)


def read_cifar_binary(folder: Path, split: str) -> tuple[Images, Labels]:
    """Images `(N, 3, 32, 32)` and labels of `train` or `test`.

    Raises:
        InputError: a batch is truncated, or cannot be read.
    """
    images, labels = [], []
    for name in CIFAR_FILES[split]:
        path = folder / name
        with reading(path):
            size = path.stat().st_size
            if size == 0 or size % CIFAR_RECORD or size > LARGEST_BATCH:
                raise InputError(f"{path} is no batch of CIFAR-10, or truncated: {size} bytes", hint="fetch it again")
            records = np.fromfile(path, dtype=np.uint8).reshape(-1, CIFAR_RECORD)
        labels.append(records[:, 0].astype(np.int64))
        images.append(records[:, 1:].reshape(-1, 3, 32, 32))
    return np.concatenate(images), np.concatenate(labels)


def read_cifar_torchvision(root: Path, split: str) -> tuple[Images, Labels]:
    """CIFAR-10 as torchvision has or downloads it; its pickles pass torchvision's checksums first."""
    dataset = download("CIFAR10", root, train=split == "train")
    images = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return images, np.array(dataset.targets, dtype=np.int64)


def download(name: str, root: Path, *, train: bool = True) -> Any:
    """The torchvision data set of that name, downloaded where it is missing.

    Raises:
        InputError: it is not there and cannot be had.
    """
    import torchvision

    try:
        with _short_silence(), contextlib.redirect_stdout(sys.stderr):
            return getattr(torchvision.datasets, name)(root=str(root), train=train, download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise missing(name, root, next(iter(str(error).splitlines()), type(error).__name__)) from error


@contextlib.contextmanager
def _short_silence() -> Iterator[None]:
    """Lets no connection hang: torchvision sets no time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def missing(name: str, folder: Path, reason: str = "its files are not there") -> InputError:
    """The error for a data set that cannot be had."""
    return InputError(
        f"data set {name} cannot be had: {reason}",
        hint=f"put its files into {folder}, or set KDSNN_DATA to their folder",
    )
