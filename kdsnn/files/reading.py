"""Reading files that may be anybody's: whatever a reader raises becomes one `InputError` that names the file.

`reading` stands around the call of a reader that others wrote, or around a parse, and around nothing else: a mistake of
our own must stay one. What a file costs is bounded before it is paid: a text by its size, what is packed by
`check_unpacked`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError, KdsnnError

__all__ = ["check_unpacked", "first_line", "json_object", "read_json", "read_text", "reading"]

MOST_JSON = 2**24  # bytes; parsed, the worst take 30 times as much
UNPACKED, RATIO = 2**30, 16  # bytes that a file may unpack to, whatever its size, and how many times its size
LONGEST = 200  # characters of a reason


@contextmanager
def reading(
    path: object, fault: str = "cannot be read", *, hint: str = "", kind: type[InputError] = InputError
) -> Iterator[None]:
    """Turns whatever is raised inside, but for errors of kdsnn, into an error of the file.

    Args:
        path: of the file, or what it is called.
        fault: what is wrong with it, if anything is raised.
        hint: what to do about it.
        kind: of the error.
    """
    try:
        yield
    except (KdsnnError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a reader written in Rust panics with what is no Exception
        raise kind(f"{path} {fault}: {first_line(error)}", hint=hint) from error


def first_line(error: BaseException) -> str:
    """Why a reader failed, in one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = next(iter(told.splitlines()), "")[:LONGEST]
    plain = isinstance(error, OSError | ValueError | EOFError) and text
    return text if plain else f"{type(error).__name__}: {text}".removesuffix(": ")


def check_unpacked(path: object, unpacked: int, stored: int) -> None:
    """Raises InputError where a file unpacks to so much that only a trap, or a file of nothing but zeros, does.

    Args:
        path: of the file, or what it is called.
        unpacked: bytes that it says it holds.
        stored: bytes that it has.
    """
    if unpacked > max(UNPACKED, RATIO * stored):
        raise InputError(
            f"{path} has {stored:,} bytes, and would unpack to {unpacked:,}",
            hint="if these are your data, store them without compression: numpy.savez",
        )


def read_text(path: Path, most: int, *, kind: type[InputError] = InputError) -> str:
    """The text of a file, UTF-8, of at most so many bytes.

    Raises:
        InputError: it is missing, no file, larger, or no text; or an error of the given kind.
    """
    with reading(path, kind=kind):
        if not path.is_file():
            raise kind(f"{path} cannot be read: there is no such file")
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise kind(f"{path} cannot be read: it has more than {most:,} bytes, and no such file needs as many")
    with reading(path, "is not UTF-8", kind=kind):
        return data.decode()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        InputError: it is missing or holds no JSON object.
    """
    return json_object(read_text(path, MOST_JSON), path)


def json_object(text: str, name: object) -> dict[str, Any]:
    """The JSON object of a text.

    Raises:
        InputError: it is none.
    """
    with reading(name):
        data = json.loads(text)
    if not isinstance(data, dict):
        raise InputError(f"{name} holds no JSON object")
    return data
