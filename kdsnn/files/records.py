"""JSON objects that were kept by kdsnn, and may have been changed by anybody: what readers ask of one, it holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kdsnn.errors import InputError
from kdsnn.files.reading import first_line, read_json

__all__ = ["Count", "Measured", "Real", "Record", "Share", "as_python", "check_record", "problems_in", "read_record"]

Share = Annotated[float, Field(ge=0, le=1)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class Record(BaseModel):
    """What readers ask of a JSON object; whatever else it says may stand beside it."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class Measured(Record):
    """That an accuracy was measured."""

    accuracy: Share


def read_record(path: Path, kind: Any, *, hint: str = "it is not as kdsnn wrote it: make it anew") -> dict[str, Any]:
    """The JSON object of a file, once it was seen to hold what a record says.

    Args:
        path: of the file.
        kind: a `Record`, or another type that pydantic knows.
        hint: what to do where it does not.

    Raises:
        InputError: it is missing, holds no JSON object, or not what is asked of it; with all problems.
    """
    data = read_json(path)
    check_record(data, kind, path, hint=hint)
    return data


def check_record(data: object, kind: Any, name: object, *, hint: str = "") -> None:
    """Raises InputError, with all problems, where an object does not hold what a record says."""
    try:
        TypeAdapter(kind).validate_python(data, strict=True)
    except ValidationError as error:
        raise InputError(f"{name} is not valid", problems=list(problems_in(error))[:20], hint=hint) from error
    except RecursionError as error:
        raise InputError(f"{name} is not valid: {first_line(error)}", hint=hint) from error


def as_python(value: Any) -> Any:
    """Lists of TOML or JSON as tuples, as a strict model wants them."""
    if isinstance(value, dict):
        return {key: as_python(item) for key, item in value.items()}
    return tuple(map(as_python, value)) if isinstance(value, list) else value


def problems_in(error: ValidationError) -> Iterator[str]:
    """What is wrong with a file, a line a problem."""
    for problem in error.errors():
        where = repr(".".join(map(str, problem["loc"])))[1:-1][:200]  # a key may hold anything, terminal codes too
        if problem["type"] == "value_error":
            yield f"{where}: {problem['ctx']['error']}".removeprefix(": ")[:300]
        elif problem["type"] == "extra_forbidden":
            yield f"{where}: there is no such key"
        elif problem["type"] == "missing":
            yield f"{where}: this key is needed"
        else:
            yield f"{where}: {problem['msg']}, not {_shown(problem['input'])}"[:300]


def _shown(value: object) -> str:
    """A value for a message; of lists and tables, which may be large and nested, what they are."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list | tuple) else repr(value)
