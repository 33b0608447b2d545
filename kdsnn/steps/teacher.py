"""What a run tells of its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdsnn.errors import InputError
from kdsnn.files.reading import read_json

__all__ = ["TEACHER", "teacher_of"]

TEACHER = "teacher.json"
NUMBERS = ("accuracy", "macs")  # that readers ask of it


def teacher_of(run: Path) -> dict[str, Any] | None:
    """What a run tells of its teacher: its `accuracy`, `macs` a sample and more. None where the run has none.

    Raises:
        InputError: the file is not readable, or says no number where one is needed.
    """
    path = run / TEACHER
    if not path.is_file():
        return None
    told = read_json(path)
    absent = [name for name in NUMBERS if not _is_number(told.get(name))]
    if absent:
        raise InputError(
            f"{path} does not say {' and '.join(absent)} of the teacher",
            hint="put back the file that kdsnn distill wrote; without any, the run is taken to have no teacher",
        )
    return told


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
