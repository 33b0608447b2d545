"""Why a worker process ended: what targets that run in a process of their own say of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

__all__ = ["cause_of_end", "last_lines", "was_killed"]

LINES = 25
BYTES = 16_384  # of the end of a log
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the others are faults of its own


def was_killed(job: Path, code: int) -> bool:
    """Whether a signal from outside ended a worker or one of its processes: the same job may go well another time."""
    try:
        return json.loads((job / "error.json").read_text()).get("signal") in FROM_OUTSIDE
    except (OSError, ValueError):
        return -code in FROM_OUTSIDE


def cause_of_end(job: Path, code: int) -> str:
    """Why a worker ended, in its own words (`error.json` in the folder of its job) where it left any."""
    try:
        return str(json.loads((job / "error.json").read_text())["message"]).splitlines()[0]
    except (OSError, ValueError, KeyError, IndexError):
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def last_lines(log: Path) -> list[str]:
    """The end of a worker's log, for an error message."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - BYTES))
        return file.read().decode(errors="replace").strip().splitlines()[-LINES:]
