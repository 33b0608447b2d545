"""A guard before any HDF5 file from a stranger: looks at its structure before a single array is read.

Accepted are groups and datasets joined by hard links, each reached once, with plain numbers or strings stored in the
file itself, within budgets of depth, number and cost. Everything else is refused: external and soft links could read
other files, virtual and external datasets too, cycles never end, and a compressed kilobyte can declare terabytes, hold
more than it declares, or lie in so many chunks that reading them never ends.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import h5py

from kdsnn.errors import InputError
from kdsnn.files.reading import reading

__all__ = ["Budget", "check_hdf5", "opened_hdf5"]

FAULT, HINT = "is not a readable HDF5 file", "it may be truncated: copy it again"
GZIP, SHUFFLE, CHECKSUM = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32


@dataclass(frozen=True)
class Budget:
    """What a file may hold at the most.

    Attributes:
        depth: of groups in groups. A graph in a NIR graph takes two.
        objects: groups and datasets.
        bytes: that it declares, whatever its own size.
        ratio: bytes that it declares for each of its own, where that is more. Neurons with one parameter each, and
            weights that are mostly zero, pack well.
        chunks: parts that its datasets are stored in.
        text: bytes of its strings, where they are of any length.
        name_length: characters of a name.
    """

    depth: int = 64
    objects: int = 20_000
    bytes: int = 2**26
    ratio: int = 8
    chunks: int = 2**15
    text: int = 2**24
    name_length: int = 200


def check_hdf5(path: Path, budget: Budget | None = None) -> None:
    """Raises InputError unless the file is HDF5 that is safe to read."""
    with opened_hdf5(path, budget):
        pass


@contextmanager
def opened_hdf5(path: Path, budget: Budget | None = None, *, held: bytes | None = None) -> Iterator[h5py.File]:
    """An HDF5 file that is safe to read, opened.

    Args:
        path: of the file.
        budget: what it may hold.
        held: its contents, where they are in memory.

    Raises:
        InputError: it is no HDF5 file, or not safe to read.
    """
    if held is None and not path.is_file():
        raise InputError(f"there is no file {path}")
    with reading(path, FAULT, hint=HINT):
        size = path.stat().st_size if held is None else len(held)
        file = h5py.File(path if held is None else BytesIO(held), "r")
    with file:
        with reading(path, FAULT, hint=HINT):
            _Walk(path, budget or Budget(), size).group(file, "", 0)
        yield file


class _Walk:
    """A walk over everything in a file, which keeps account of the budget."""

    def __init__(self, path: Path, budget: Budget, size: int) -> None:
        self.path, self.budget, self.size = path, budget, size
        self.most = max(budget.bytes, budget.ratio * size)
        self.objects, self.bytes, self.chunks, self.text = 0, 0, 0, 0
        self.seen: set[Any] = set()

    def group(self, group: h5py.Group, where: str, depth: int) -> None:
        if depth > self.budget.depth:
            self.refuse(where, f"it is nested more than {self.budget.depth} deep")
        for name in group:
            inner = f"{where}/{name[:50]}"
            if len(name) > self.budget.name_length:
                self.refuse(inner, f"its name is longer than {self.budget.name_length} characters")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                self.refuse(inner, "it is a link to somewhere else")
            self.objects += 1
            if self.objects > self.budget.objects:
                self.refuse(inner, f"there are more than {self.budget.objects} objects")
            item = group[name]
            if item.id in self.seen:
                self.refuse(inner, "it is reached twice")
            self.seen.add(item.id)
            if isinstance(item, h5py.Dataset):
                self.dataset(item, inner)
            elif isinstance(item, h5py.Group):
                self.group(item, inner, depth + 1)
            else:
                self.refuse(inner, "it is neither a group nor a dataset")

    def dataset(self, data: h5py.Dataset, where: str) -> None:
        if data.is_virtual or data.external:
            self.refuse(where, "its data lie in another file")
        text = data.dtype.kind == "O" and h5py.check_string_dtype(data.dtype) is not None
        if not text and data.dtype.kind not in "biufS":
            self.refuse(where, f"its type is {data.dtype}, not numbers or a string")
        held = prod(data.shape or ()) * data.dtype.itemsize
        chunk = data.dtype.itemsize * prod(data.chunks or ())
        parts = prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True)) if data.chunks else 1
        self.bytes += max(held, chunk * min(parts, 1))
        if self.bytes > self.most:
            self.refuse(where, f"the file declares more than {self.most} bytes")
        self.chunks += parts
        if self.chunks > self.budget.chunks:
            self.refuse(where, f"the file is stored in more than {self.budget.chunks} chunks")
        if data.chunks:
            self.packing(data, where, chunk)
        if text:
            self.strings(data, where)

    def packing(self, data: h5py.Dataset, where: str, chunk: int) -> None:
        """Each chunk must unpack to its own size: HDF5 would go on to whatever it unpacks to."""
        made = data.id.get_create_plist()
        filters = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
        if strange := set(filters) - {GZIP, SHUFFLE, CHECKSUM} or filters.count(GZIP) > 1:
            self.refuse(where, f"it is packed by {strange if isinstance(strange, set) else 'gzip twice'}, not by gzip")
        if GZIP not in filters:
            return
        bit = 1 << filters.index(GZIP)
        for index in range(data.id.get_num_chunks()):
            stored = data.id.get_chunk_info(index)
            if stored.size > 2 * chunk + 2**16:
                self.refuse(where, "a chunk of it is stored as more than it holds")
            skipped, packed = data.id.read_direct_chunk(stored.chunk_offset)
            if not skipped & bit and len(zlib.decompressobj().decompress(packed, chunk + 5)) > chunk + 4:
                self.refuse(where, f"a chunk of it unpacks to more than its {chunk} bytes")

    def strings(self, data: h5py.Dataset, where: str) -> None:
        """Strings of any length may all be one, which is stored once: they are read a few at a time, and counted."""
        step = max(1, 2**27 // max(1, self.size))
        read = [data[()]] if data.shape == () else (data[i : i + step] for i in range(0, len(data), step))
        for part in read:
            self.text += sum(len(each) for each in ([part] if data.shape == () else part.reshape(-1)))
            if self.text > self.budget.text:
                self.refuse(where, f"the file holds more than {self.budget.text} bytes of text")

    def refuse(self, where: str, what: str) -> None:
        raise InputError(f"{self.path}: refused at {where!r}: {what}")
