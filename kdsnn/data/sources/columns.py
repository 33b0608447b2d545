"""Arrays that are in memory or in a file, of which some rows are read at a time; nothing in a file is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError
from kdsnn.files.reading import check_unpacked, reading

__all__ = ["MOST_LABELS", "Column", "held", "in_npy", "in_npz"]

MOST_LABELS = 2**26  # of a split: a byte in a file, and eight in memory
AT_ONCE = 2**20  # bytes of the rows that are read at a time
MOST_ARRAYS = 10_000  # in a file
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack in pieces of any size
AGAIN = "fetch or write it again"
Array = npt.NDArray[Any]
Opener = Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class Column:
    """An array of which rows can be read in order.

    Attributes:
        shape: of all.
        dtype: of its values.
        chunks: reads some rows at a time.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: Callable[[], Iterator[Array]]

    def whole(self) -> Array:
        """All of it: in memory once, and not its parts beside it."""
        made: Array | None = None
        begin = 0
        for part in self.chunks():
            if len(part) == (self.shape or (1,))[0]:
                return (part if part.flags.writeable else part.copy()).reshape(self.shape)
            made = np.empty(self.shape, self.dtype) if made is None else made
            made[begin : begin + len(part)] = part
            begin += len(part)
        return np.empty(self.shape, self.dtype) if made is None else made


def held(array: Array) -> Column:
    """An array in memory."""

    def chunks() -> Iterator[Array]:
        step = _rows(array.shape, array.dtype)
        rows = array.reshape(array.shape or 1)  # one number is a row of it
        for begin in range(0, len(rows), step):
            yield rows[begin : begin + step]

    return Column(array.shape, array.dtype, chunks)


def in_npy(path: Path) -> Column:
    """The array of an `.npy` file.

    Raises:
        InputError: it is broken, or holds Python objects.
    """
    with reading(path):
        size = path.stat().st_size
    return _stored(str(path), lambda: path.open("rb"), size)


def in_npz(path: Path, *, hint: str = "write one with numpy.savez(path, x=x, y=y)") -> dict[str, Column]:
    """The arrays of an `.npz` file, by name.

    Args:
        path: of the file.
        hint: how such a file is written.

    Raises:
        InputError: it is broken, or one holds Python objects.
    """
    with reading(path, "is not an .npz file, or truncated", hint=hint):
        stored = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
    if len(listed) > MOST_ARRAYS:
        raise InputError(f"{path} holds more than {MOST_ARRAYS} arrays", hint=hint)
    members = {m.filename.removesuffix(".npy"): m for m in listed if m.filename.endswith(".npy")}
    check_unpacked(path, sum(m.file_size for m in members.values()), stored)
    if strange := [name for name, m in members.items() if m.compress_type not in PACKINGS]:
        raise InputError(f"{path}: array {strange[0][:100]!r} is packed in a way that numpy does not write", hint=hint)

    def opener(member: zipfile.ZipInfo) -> Opener:
        return lambda: _Member(path, member)

    return {name: _stored(f"{path}: array {name[:100]!r}", opener(m), m.file_size) for name, m in members.items()}


class _Member(AbstractContextManager[IO[bytes]]):
    """An opened member of a zip file."""

    def __init__(self, path: Path, member: zipfile.ZipInfo) -> None:
        self.path, self.member = path, member

    def __enter__(self) -> IO[bytes]:
        self.archive = zipfile.ZipFile(self.path)
        self.file = self.archive.open(self.member)
        return self.file

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.archive.close()


def _stored(name: str, opened: Opener, size: int) -> Column:
    """An array in the format of `.npy`, of so many bytes with its header."""
    with reading(name, "cannot be read as an array", hint=AGAIN), opened() as file:
        shape, by_columns, dtype = _header(file)
        begin = file.tell()
    if dtype.hasobject:
        raise InputError(
            f"{name} holds Python objects (pickle), which could run any code",
            hint="write plain arrays: numpy.stack(list).astype(numpy.uint8)",
        )
    if dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise InputError(f"{name} is broken: {dtype} of shape {str(shape)[:100]}", hint=AGAIN)
    wanted = begin + dtype.itemsize * prod(shape)
    if size != wanted:
        raise InputError(f"{name} is broken: {size} bytes instead of {str(wanted)[:30]}", hint=AGAIN)

    def chunks() -> Iterator[Array]:
        with ExitStack() as stack:
            with reading(name, hint=AGAIN):
                file = stack.enter_context(opened())
                if by_columns:
                    whole = np.lib.format.read_array(file, allow_pickle=False)
                else:
                    _header(file)
            if by_columns:
                yield whole
                return
            step = _rows(shape, dtype)
            for first in range(0, length := shape[0] if shape else 1, step):
                rows = min(step, length - first)
                count = rows * prod(shape[1:])
                with reading(name, hint=AGAIN):
                    data = file.read(count * dtype.itemsize)
                    part = np.frombuffer(data, dtype, count).reshape(rows, *shape[1:])
                yield part

    return Column(shape, dtype, chunks)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type; the file stands at the values then."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"it has version {version} of the format")
    shape, by_columns, dtype = readers[version](file)
    return shape, by_columns, dtype


def _rows(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return max(1, AT_ONCE // max(1, dtype.itemsize * prod(shape[1:])))
