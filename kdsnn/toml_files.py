"""Data files in TOML: those that ship with a package, or one's own; read by pydantic, with all problems at once."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kdsnn.errors import InputError, UsageError
from kdsnn.files.reading import read_text, reading
from kdsnn.files.records import as_python, problems_in
from kdsnn.registry import suggestion

__all__ = ["MOST_BYTES", "FileModel", "load", "shipped", "table_of"]


class FileModel(BaseModel):
    """What a data file holds: no more and no less than it says, of the types that it says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


MOST_BYTES, MOST_DOTS = 2**18, 200  # of a file, and of a line: a key of many parts takes the square of them
Model = TypeVar("Model", bound=FileModel)


def shipped(package: str) -> list[str]:
    """Names of the files that ship with a package, without their suffix."""
    return sorted(f.name.removesuffix(".toml") for f in files(package).iterdir() if f.name.endswith(".toml"))


def load(package: str, name: str, model: type[Model], singular: str, plural: str) -> Model:
    """A file that ships with a package, by its name, or any other, by a path that ends in `.toml`.

    Args:
        package: where files ship.
        name: of one, or a path. The model gets it, or the stem of the path, as its field `name`.
        model: what it holds.
        singular: what one is, for messages.
        plural: likewise.

    Raises:
        UsageError: there is none of that name.
        InputError: the file is not valid; with all problems.
    """
    if name.endswith(".toml"):
        path = Path(name)
        with reading(name):
            if not path.is_file():
                raise UsageError(f"there is no {singular} file {name}")
        return _parsed(read_text(path, MOST_BYTES), path.stem, model, singular)
    if name not in shipped(package):
        raise UsageError(f"there is no {singular} {name!r}", hint=suggestion(name, shipped(package), plural))
    return _parsed((files(package) / f"{name}.toml").read_text(), name, model, singular)


def table_of(text: str, name: str, kind: type[InputError] = InputError) -> dict[str, Any]:
    """The table of a TOML text.

    Args:
        text: to read.
        name: what it is called in an error.
        kind: of the error.

    Raises:
        InputError: it is none, or so made that reading it would take long; or an error of the given kind.
    """
    if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
        raise kind(f"{name} is not TOML: a line has more than {MOST_DOTS} dots")
    with reading(name, "is not TOML", kind=kind):
        return tomllib.loads(text)


def _parsed(text: str, name: str, model: type[Model], singular: str) -> Model:
    data = table_of(text, f"{singular} {name!r}")
    try:
        return model.model_validate({**as_python(data), "name": name})
    except ValidationError as error:
        raise InputError(f"{singular} {name!r} is not valid", problems=list(problems_in(error))) from error
    except RecursionError as error:
        raise InputError(f"{singular} {name!r} is nested too deeply") from error
