"""What a run tells of its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from kdsnn.files.records import Measured, Real, read_record

__all__ = ["TEACHER", "teacher_of"]

TEACHER = "teacher.json"
HINT = "put back the file that kdsnn distill wrote; without any, the run is taken to have no teacher"


class Teacher(Measured):
    """What readers ask of a teacher."""

    macs: Real = Field(ge=0, le=1e18)
    model: str = "ANN"
    weights: str = ""


def teacher_of(run: Path) -> dict[str, Any] | None:
    """What a run tells of its teacher: its `accuracy`, `macs` a sample and more. None where the run has none.

    Raises:
        InputError: the file is not readable, or says no number where one is needed.
    """
    path = run / TEACHER
    if not path.is_file():
        return None
    return read_record(path, Teacher, hint=HINT)
