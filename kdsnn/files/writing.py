"""Writing files, for every module: a file is there whole or not at all, and a full disk is one clear error.

What is written is made in memory first: a library that writes by itself may end the process where the disk is full.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import IO, Any

from kdsnn.errors import InputError
from kdsnn.files.reading import reading

__all__ = [
    "copy",
    "fault_of_system",
    "lock_file",
    "make_folder",
    "remove",
    "write_atomic",
    "write_json",
    "writing",
]

HINT = "make room there, or write elsewhere"
FAULTS = {EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS}  # of the system, and no bug of anybody's
Parts = bytes | Sequence[bytes | memoryview]


@contextmanager
def writing(path: object, what: str = "cannot be written") -> Iterator[None]:
    """Turns what the system says against a write (a full disk, no permission, ...) into an InputError with the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} {what}: {error.strerror or error}", hint=HINT) from error


def write_atomic(path: Path, data: Parts, *, synced: bool = True) -> None:
    """Writes a file beside its place, syncs it, and puts it in place: it is there whole, or not at all.

    Args:
        path: its folder is made if missing.
        data: all of it, or parts one after the other.
        synced: whether it must outlive a crash of the machine; what a worker reads at once need not.

    Raises:
        InputError: it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in (data,) if isinstance(data, bytes) else data:
                    file.write(part)
                file.flush()
                if synced:
                    os.fsync(file.fileno())
            beside.chmod(0o644)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_json(path: Path, data: Mapping[str, Any], *, synced: bool = True) -> None:
    """Writes a JSON object; see `write_atomic`."""
    write_atomic(path, (json.dumps(data, indent=2) + "\n").encode(), synced=synced)


def copy(source: Path, to: Path, *, linked: bool = False) -> None:
    """Copies a file, in place of what is there.

    Args:
        source: the file.
        to: its place.
        linked: whether both may be one file on the disk: of those that are replaced, never written to.

    Raises:
        InputError: it cannot be read, or not be written.
    """
    if linked:
        remove(to)
        with suppress(OSError):
            os.link(source, to)
            return
    with reading(source):
        data = source.read_bytes()
    write_atomic(to, data)


@contextmanager
def lock_file(path: Path) -> Iterator[IO[str]]:
    """An empty file to be locked, which is made where it is not there."""
    with path.open("w") as file:
        yield file


def make_folder(path: Path) -> None:
    """Makes a folder, and those that it lies in, where they are not there.

    Raises:
        InputError: it cannot be made.
    """
    with writing(path, "cannot be made"):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Removes a file, where it is there.

    Raises:
        InputError: it cannot be removed.
    """
    with writing(path, "cannot be removed"):
        path.unlink(missing_ok=True)


def fault_of_system(error: OSError) -> InputError | None:
    """The error of a full disk, or of a folder that nobody may write to, wherever it was met; None of other errors."""
    if error.errno not in FAULTS:
        return None
    return InputError(f"{error.filename or 'the output'} cannot be written: {error.strerror}", hint=HINT)
