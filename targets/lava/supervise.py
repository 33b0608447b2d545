"""Runs the worker: a process group of its own, watched, and ended whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kdsnn.errors import TargetUnavailableError, TimedOutError
from kdsnn.targets.lava.environment import LavaEnvironment, worker_variables

__all__ = ["run_worker"]

WORKER = Path(__file__).with_name("worker") / "main.py"
STALL_LIMIT_S = 600.0  # without a time limit: how long no step may complete
POLL_S = 0.05
GRACE_S = 3.0  # for the resource tracker of the worker, which frees shared memory after SIGTERM
SHARED_MEMORY_HINT = "shared memory is full, as in a container with a small /dev/shm: give it more (--shm-size=1g)"
LOG_LINES = 15
LOG_BYTES = 16_384  # of the end of the log, read for an error message


def run_worker(
    environment: LavaEnvironment, job: Path, *, time_limit_s: float | None, progress: Callable[[int], None] | None
) -> None:
    """Runs the job in that folder to its end.

    Args:
        environment: whose interpreter runs the worker.
        job: folder with what `worker/main.py` reads.
        time_limit_s: seconds for everything. Without one, the worker may go on as long as it completes a step every
            600 s.
        progress: called with the time step reached, when it changed.

    Raises:
        TimedOutError: it did not end in time. All its processes are gone then.
        TargetUnavailableError: it died, or reported an error.
    """
    log = job / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own script and interpreter
            [str(environment.python), "-B", "-s", str(WORKER), str(job)],
            env=worker_variables(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finished = False
    try:
        _wait(process, job, time_limit_s, progress or (lambda _: None))
        finished = process.returncode == 0 and (job / "result.json").is_file()
    finally:
        _end_group(process, at_once=finished)
    if not finished:
        cause = _cause(job, process.returncode)
        hint = SHARED_MEMORY_HINT if "SIGBUS" in cause else "run kdsnn doctor; what it wrote last is above"
        raise TargetUnavailableError(f"the Lava worker was lost: {cause}", hint=hint, problems=_tail(log))


def _wait(process: subprocess.Popen[bytes], job: Path, limit_s: float | None, progress: Callable[[int], None]) -> None:
    """Returns when the worker ended; raises TimedOutError when it took too long."""
    start = moved = time.monotonic()
    reached = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
        now, step = time.monotonic(), _step(job)
        if step != reached:
            reached, moved = step, now
            progress(step)
        if process.returncode is not None:
            return
        if limit_s is not None and now - start > limit_s:
            raise TimedOutError(f"Lava passed its limit of {limit_s:g} s at time step {reached}")
        if limit_s is None and now - moved > STALL_LIMIT_S:
            raise TimedOutError(
                f"Lava completed no time step for {STALL_LIMIT_S:g} s, after step {reached}",
                hint="set a time limit above that for a network this large",
            )


def _step(job: Path) -> int:
    """The time step that the worker has reached."""
    try:
        return int(np.load(job / "progress.npy", allow_pickle=False)[0])
    except (OSError, ValueError, EOFError):
        return 0  # not there yet, or half made


def _end_group(process: subprocess.Popen[bytes], *, at_once: bool) -> None:
    """Ends what is left of the worker's processes, and waits for the worker."""
    if not at_once and _signal(process.pid, signal.SIGTERM):
        _signal(process.pid, signal.SIGCONT)  # a stopped process takes no other signal
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and _signal(process.pid, 0):
            process.poll()  # reaps it, else the group would seem to live
            time.sleep(POLL_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: int) -> bool:
    """Signals a process group; whether there is one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the second where only zombies are left
        return False
    return True


def _cause(job: Path, code: int) -> str:
    """Why the worker ended, in its own words where it left any."""
    try:
        return str(json.loads((job / "error.json").read_text())["message"]).splitlines()[0]
    except (OSError, ValueError, KeyError, IndexError):
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _tail(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        return file.read().decode(errors="replace").strip().splitlines()[-LOG_LINES:]
