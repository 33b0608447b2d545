"""A guard before any HDF5 file from a stranger: looks at its structure before a single array is read.

Accepted are groups and datasets joined by hard links, each reached once, with plain numbers or strings stored in the
file itself, within budgets of depth, number and declared size. Everything else is refused: external and soft links
could read other files, virtual and external datasets too, cycles never end, and a compressed kilobyte can declare
terabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from kdsnn.errors import InputError

__all__ = ["Budget", "check_hdf5"]


@dataclass(frozen=True)
class Budget:
    """What a file may hold at the most."""

    depth: int = 64  # a graph in a NIR graph takes two
    objects: int = 20_000
    bytes: int = 2**32
    name_length: int = 200


def check_hdf5(path: Path, budget: Budget | None = None) -> None:
    """Raises InputError unless the file is HDF5 that is safe to read."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            _Walk(path, budget or Budget()).group(file, "", 0)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(
            f"{path} is not a readable HDF5 file: {reason}", hint="it may be truncated: copy it again"
        ) from error


class _Walk:
    """A walk over everything in a file, which keeps account of the budget."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path, self.budget = path, budget
        self.objects, self.bytes = 0, 0
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
        if data.dtype.kind not in "biufSO" or (data.dtype.kind == "O" and h5py.check_string_dtype(data.dtype) is None):
            self.refuse(where, f"its type is {data.dtype}, not numbers or a string")
        self.bytes += data.size * data.dtype.itemsize
        if self.bytes > self.budget.bytes:
            self.refuse(where, f"the file declares more than {self.budget.bytes} bytes")

    def refuse(self, where: str, what: str) -> None:
        raise InputError(f"{self.path}: refused at {where!r}: {what}")
