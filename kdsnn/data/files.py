"""The file formats of MNIST (idx, plain or gzipped) and CIFAR-10 (binary batches), and downloads by torchvision."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError

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
LARGEST_LABELS = 2**20  # bytes that are read of a file of labels to know it by
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
LARGEST = 2**31  # bytes of one array
LARGEST_BATCH = 2**28  # bytes of one CIFAR-10 batch; the real ones have 3e7
KNOWN = {  # sha256 of what the files of MNIST and Fashion-MNIST hold, unpacked; they have the same names
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db": "mnist",  # train, images
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "mnist",  # train, labels
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7": "mnist",  # t10k, images
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2": "mnist",  # t10k, labels
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888": "fashion-mnist",  # train, images
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": "fashion-mnist",  # train, labels
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b": "fashion-mnist",  # t10k, images
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34": "fashion-mnist",  # t10k, labels
}
SILENCE_S = 30.0  # a server that sends nothing for so long is given up


def has_idx(folder: Path) -> bool:
    """Whether a folder holds the four files."""
    return all(_idx_file(folder, name) is not None for name in IDX_NAMES)


def known_as(folder: Path) -> set[str]:
    """The data sets to which a folder's labels belong, as far as their contents are known; empty where none is."""
    contents = (_sha256(folder, name) for name in IDX_NAMES if "labels" in name)
    return {KNOWN[sha256] for sha256 in contents if sha256 in KNOWN}


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


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _sha256(folder: Path, name: str) -> str:
    """Of what a file holds, unpacked; empty where it cannot be read: whoever reads it as data says why."""
    path = _idx_file(folder, name)
    if path is None:
        return ""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return hashlib.sha256(file.read(LARGEST_LABELS)).hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def _read_idx_file(folder: Path, file_name: str, dimensions: int, name: str) -> Images:
    path = _idx_file(folder, file_name)
    if path is None:
        raise InputError(f"there is no file {folder / file_name}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 * (1 + dimensions))
            magic, *shape = struct.unpack(f">{1 + dimensions}I", head)
            size = int(np.prod(shape, dtype=np.float64))
            if magic != 0x0800 + dimensions or size > LARGEST:
                raise InputError(f"{path} is not an idx file of {dimensions} dimensions of bytes")
            data = file.read(size + 1)  # one more, so that gzip checks its sum at the end
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="it may be truncated: fetch it again") from error
    if len(data) != size:
        what = f"truncated: {len(data)} of" if len(data) < size else "longer than its"
        raise InputError(f"{path} is {what} {size} bytes", hint="fetch it again")
    known = KNOWN.get(hashlib.sha256(head + data).hexdigest(), name)
    if known != name:
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
        try:
            size = path.stat().st_size
            if size == 0 or size % CIFAR_RECORD or size > LARGEST_BATCH:
                raise InputError(f"{path} is no batch of CIFAR-10, or truncated: {size} bytes", hint="fetch it again")
            records = np.fromfile(path, dtype=np.uint8).reshape(-1, CIFAR_RECORD)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
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
