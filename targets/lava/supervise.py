"""Runs the workers: each a process group of its own, watched, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdsnn.errors import TargetUnavailableError, TimedOutError
from kdsnn.targets.lava.environment import LavaEnvironment, worker_variables
from kdsnn.targets.lost import cause_of_end, last_lines

__all__ = ["run_workers"]

LOG = "worker.log"
WORKER = Path(__file__).with_name("worker") / "main.py"
STALL_LIMIT_S = 600.0  # without a time limit: how long no step may complete
POLL_S = 0.05
GRACE_S = 3.0  # for the resource tracker of the worker, which frees shared memory after SIGTERM
SHARED_MEMORY_HINT = "shared memory is full, as in a container with a small /dev/shm: give it more (--shm-size=1g)"


@dataclass
class _Worker:
    """A worker that was started: its process, its job, the time step it reached, and when."""

    process: subprocess.Popen[bytes]
    job: Path
    reached: int
    moved: float

    @property
    def finished(self) -> bool:
        """Whether it ended as it should."""
        return self.process.returncode == 0 and (self.job / "result.json").is_file()


def run_workers(
    environment: LavaEnvironment,
    jobs: Sequence[Path],
    *,
    time_limit_s: float | None,
    progress: Callable[[list[int]], None] | None,
) -> None:
    """Runs the jobs in these folders to their ends, all at once. The first worker that fails ends the others.

    Args:
        environment: whose interpreter runs the workers.
        jobs: folders with what `worker/main.py` reads.
        time_limit_s: seconds for everything. Without one, a worker may go on as long as it completes a step every
            600 s.
        progress: called with the time step that each worker reached, when one changed.

    Raises:
        TimedOutError: one did not end in time. All processes are gone then.
        TargetUnavailableError: one died, or reported an error.
    """
    workers: list[_Worker] = []
    try:
        for job in jobs:
            workers.append(_start(environment, job))
        failed = _wait(workers, time_limit_s, progress or (lambda _: None))
    finally:
        _end_groups(workers)
    if failed is not None:
        cause = cause_of_end(failed.job, failed.process.returncode)
        hint = SHARED_MEMORY_HINT if "SIGBUS" in cause else "run kdsnn doctor; what it wrote last is above"
        who = "the Lava worker" if len(jobs) == 1 else f"Lava worker {workers.index(failed) + 1} of {len(jobs)}"
        raise TargetUnavailableError(f"{who} was lost: {cause}", hint=hint, problems=last_lines(failed.job / LOG))


def _start(environment: LavaEnvironment, job: Path) -> _Worker:
    with (job / LOG).open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own script and interpreter
            [str(environment.python), "-B", "-s", "-X", "faulthandler", str(WORKER), str(job)],
            env=worker_variables(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return _Worker(process, job, 0, time.monotonic())


def _wait(workers: Sequence[_Worker], limit_s: float | None, progress: Callable[[list[int]], None]) -> _Worker | None:
    """Returns when all workers ended, or the first that failed; raises TimedOutError when one took too long."""
    start = time.monotonic()
    while True:
        running = [worker for worker in workers if worker.process.poll() is None]
        if running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running[0].process.wait(POLL_S)
        now, moved = time.monotonic(), False
        for worker in workers:
            step = _step(worker.job)
            if step != worker.reached:
                worker.reached, worker.moved, moved = step, now, True
        if moved:
            progress([worker.reached for worker in workers])
        ended = [worker for worker in workers if worker.process.poll() is not None]
        for worker in ended:
            if not worker.finished:
                return worker
        if len(ended) == len(workers):
            return None
        _check_time([w for w in workers if w not in ended], now, start, limit_s)


def _check_time(running: Sequence[_Worker], now: float, start: float, limit_s: float | None) -> None:
    slowest = min(running, key=lambda worker: worker.moved)
    if limit_s is not None and now - start > limit_s:
        raise TimedOutError(f"Lava passed its limit of {limit_s:g} s at time step {slowest.reached}")
    if limit_s is None and now - slowest.moved > STALL_LIMIT_S:
        raise TimedOutError(
            f"Lava completed no time step for {STALL_LIMIT_S:g} s, after step {slowest.reached}",
            hint="set a time limit above that for a network this large",
        )


def _step(job: Path) -> int:
    """The time step that the worker has reached."""
    try:
        return int(np.load(job / "progress.npy", allow_pickle=False)[0])
    except (OSError, ValueError, EOFError):
        return 0  # not there yet, or half made


def _end_groups(workers: Sequence[_Worker]) -> None:
    """Ends what is left of the workers' processes, and waits for the workers."""
    left = [w.process for w in workers if not w.finished and _signal(w.process.pid, signal.SIGTERM)]
    for process in left:
        _signal(process.pid, signal.SIGCONT)  # a stopped process takes no other signal
    deadline = time.monotonic() + GRACE_S
    while left and time.monotonic() < deadline:
        for process in left:
            process.poll()  # reaps it, else the group would seem to live
        left = [process for process in left if _signal(process.pid, 0)]
        time.sleep(POLL_S)
    for worker in workers:
        _signal(worker.process.pid, signal.SIGKILL)
        worker.process.wait()


def _signal(group: int, number: int) -> bool:
    """Signals a process group; whether there is one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers the second where only zombies are left
        return False
    return True
