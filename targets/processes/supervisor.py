"""Runs workers of a target: each a process group of its own, watched, and ended whatever happens.

A worker that a signal from outside ended, as where memory runs out, is started again on its job; the others go on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdsnn.errors import TargetUnavailableError, TimedOutError
from kdsnn.files.writing import writing
from kdsnn.jobs.interruption import ending_signals, held_signals
from kdsnn.targets.processes.failures import cause_of_end, last_lines, was_killed

__all__ = ["KILLED", "Kind", "run_workers"]

KILLED = "killed_workers"  # a note of a result, where there were any
LOG = "worker.log"
STALL_LIMIT_S = 600.0  # without a time limit: how long a worker may get no further
POLL_S = 0.05
MOST_REPEATS = 3  # of a job whose worker was killed: what kills it each time would go on for ever
GRACE_S = 3.0  # for what else is in a worker's group, such as a resource tracker, which frees shared memory
LONGEST_PLACE = 70  # characters; multiprocessing adds 33
SHARED_MEMORY_HINT = "shared memory is full, as in a container with a small /dev/shm: give it more (--shm-size=1g)"


@dataclass(frozen=True)
class Kind:
    """How the workers of a target are started, and how far one is.

    Attributes:
        name: of what they run.
        command: to which the folder of the job is added.
        variables: of their environment.
        unit: of what they get done, such as `image`.
        reached: how many units the job in a folder has done. Raises OSError or ValueError where that is not known yet.
        talks: whether what it prints says anything; else it is thrown away.
    """

    name: str
    command: Sequence[str]
    variables: Mapping[str, str]
    unit: str
    reached: Callable[[Path], int]
    talks: bool = True


@dataclass
class _Worker:
    """A worker that was started: its process, its job, how far it got, and when it got there.

    Attributes:
        process: the worker's own, which leads a group.
        job: the folder.
        given: names of the files that the job began with.
        repeats: how often the job was begun anew.
        reached: units done.
        moved: when the last of them was.
    """

    process: subprocess.Popen[bytes]
    job: Path
    given: frozenset[str]
    repeats: int = 0
    reached: int = 0
    moved: float = field(default_factory=time.monotonic)

    @property
    def finished(self) -> bool:
        """Whether it ended as it should."""
        return self.process.returncode == 0 and (self.job / "result.json").is_file()


def run_workers(
    kind: Kind,
    jobs: Sequence[Path],
    *,
    time_limit_s: float | None,
    progress: Callable[[list[int]], None] | None,
) -> int:
    """Runs the jobs in these folders to their ends, all at once, and returns how many workers were killed.

    A job whose worker is killed is begun anew, three times at most. The first worker that fails ends the others.

    Args:
        kind: of the workers.
        jobs: absolute folders with what the workers read. A worker leaves `result.json`, or `error.json`, there.
        time_limit_s: seconds for everything. Without one, a worker may go on as long as it gets a unit done every
            600 s.
        progress: called with how far each worker is, when one got further.

    Raises:
        TimedOutError: one did not end in time. All processes are gone then.
        TargetUnavailableError: one died, or reported an error, or was killed each time.
    """
    workers: list[_Worker] = []
    with ending_signals(), held_signals() as raise_held:
        try:
            for job in jobs:
                workers.append(_start(kind, job))
            failed = _wait(kind, workers, time_limit_s, progress or (lambda _: None), raise_held)
        finally:
            _end_groups(workers)
    if failed is not None:
        cause = cause_of_end(failed.job, failed.process.returncode)
        hint = SHARED_MEMORY_HINT if "SIGBUS" in cause else "run kdsnn doctor; what it wrote last is above"
        several = f"{kind.name} worker {workers.index(failed) + 1} of {len(jobs)}"
        who = f"the {kind.name} worker" if len(jobs) == 1 else several
        before = f", as {failed.repeats} times before" if failed.repeats else ""
        problems = last_lines(failed.job / LOG)
        raise TargetUnavailableError(f"{who} was lost: {cause}{before}", hint=hint, problems=problems)
    return sum(worker.repeats for worker in workers)


def _start(kind: Kind, job: Path) -> _Worker:
    given = frozenset(path.name for path in job.iterdir())
    with writing(job / LOG):
        log = (job / LOG).open("wb")
    with log:
        process = subprocess.Popen(  # noqa: S603  our own scripts and interpreters
            [*kind.command, str(job)],
            cwd=job,
            env={**kind.variables, **_own_temporary(job)},
            stdin=subprocess.DEVNULL,
            stdout=log if kind.talks else subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    return _Worker(process, job, given)


def _start_again(kind: Kind, killed: _Worker) -> _Worker:
    """Ends what a killed worker left, processes and files, and starts another on its job."""
    _end_groups([killed])
    for path in killed.job.iterdir():
        if path.name not in killed.given:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    worker = _start(kind, killed.job)
    worker.repeats = killed.repeats + 1
    return worker


def _own_temporary(job: Path) -> dict[str, str]:
    """Where a worker's own temporary files go: into its job, with which they are removed if it is killed.

    Sockets are among them, whose paths have 107 characters at most.
    """
    return {"TMPDIR": str(job)} if len(str(job)) <= LONGEST_PLACE else {}


def _wait(
    kind: Kind,
    workers: list[_Worker],
    limit_s: float | None,
    progress: Callable[[list[int]], None],
    raise_held: Callable[[], None],
) -> _Worker | None:
    """Returns when all workers ended, or the first that failed; raises TimedOutError when one took too long.

    Puts another in the place of a worker that was killed.
    """
    start = time.monotonic()
    while True:
        raise_held()
        running = [worker for worker in workers if worker.process.poll() is None]
        if running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running[0].process.wait(POLL_S)
        now, moved = time.monotonic(), False
        for worker in workers:
            with contextlib.suppress(OSError, ValueError, EOFError):  # not there yet, or half made
                reached = kind.reached(worker.job)
                if reached > worker.reached:
                    worker.reached, worker.moved, moved = reached, now, True
        if moved:
            progress([worker.reached for worker in workers])
        ended = [worker for worker in workers if worker.process.poll() is not None]
        for worker in ended:
            if worker.finished:
                continue
            if worker.repeats == MOST_REPEATS or not was_killed(worker.job, worker.process.returncode):
                return worker
            workers[workers.index(worker)] = _start_again(kind, worker)
        if all(worker.finished for worker in workers):
            return None
        _check_time(kind, [w for w in workers if w not in ended], now - start, now, limit_s)


def _check_time(kind: Kind, running: Sequence[_Worker], passed: float, now: float, limit_s: float | None) -> None:
    slowest = min(running, key=lambda worker: worker.moved)
    if limit_s is not None and passed > limit_s:
        raise TimedOutError(f"{kind.name} passed its limit of {limit_s:g} s after {slowest.reached} {kind.unit}s")
    if limit_s is None and now - slowest.moved > STALL_LIMIT_S:
        raise TimedOutError(
            f"{kind.name} completed no {kind.unit} for {STALL_LIMIT_S:g} s, after {slowest.reached}",
            hint="set a time limit above that for a network this large",
        )


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
