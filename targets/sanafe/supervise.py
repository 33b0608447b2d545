"""Runs the worker: a process group of its own, watched, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kdsnn.errors import TargetUnavailableError, TimedOutError
from kdsnn.targets.lost import cause_of_end, last_lines

__all__ = ["run_worker"]

WORKER = Path(__file__).with_name("worker") / "main.py"
STALL_LIMIT_S = 600.0  # without a time limit: how long no image may complete
POLL_S = 0.05


def run_worker(job: Path, *, time_limit_s: float | None, progress: Callable[[int], None] | None) -> None:
    """Runs the job in that folder to its end.

    Args:
        job: folder with what `worker/main.py` reads.
        time_limit_s: seconds for everything. Without one, the worker may go on as long as it completes an image every
            600 s.
        progress: called with the number of images done, when it changed.

    Raises:
        TimedOutError: it did not end in time. It is gone then.
        TargetUnavailableError: it died, or reported an error.
    """
    log = job / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own script and interpreter
            [sys.executable, "-B", "-X", "faulthandler", str(WORKER), str(job)],
            cwd=job,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # SANA-FE prints a line for each step
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(process, job, time_limit_s, progress or (lambda _: None))
    finally:
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # the second on macOS, where only a zombie is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0 or not (job / "result.json").is_file():
        raise TargetUnavailableError(
            f"the SANA-FE worker was lost: {cause_of_end(job, process.returncode)}",
            hint="run kdsnn doctor; what it wrote last is above",
            problems=last_lines(log),
        )


def _wait(process: subprocess.Popen[bytes], job: Path, limit_s: float | None, progress: Callable[[int], None]) -> None:
    """Returns when the worker ended; raises TimedOutError when it took too long."""
    start = moved = time.monotonic()
    reached = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
        now, done = time.monotonic(), _images_done(job)
        if done > reached:
            reached, moved = done, now
            progress(done)
        if process.returncode is not None:
            return
        if limit_s is not None and now - start > limit_s:
            raise TimedOutError(f"SANA-FE passed its limit of {limit_s:g} s after {reached} images")
        if limit_s is None and now - moved > STALL_LIMIT_S:
            raise TimedOutError(
                f"SANA-FE completed no image for {STALL_LIMIT_S:g} s, after {reached}",
                hint="set a time limit above that for a network this large",
            )


def _images_done(job: Path) -> int:
    try:
        return int((job / "progress").read_text())
    except (OSError, ValueError):
        return 0  # not there yet, or half made
