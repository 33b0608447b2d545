"""Where jobs run: processes of this machine, or elsewhere (`kdsnn.jobs.dask_workers`): who submits them need not know.

A job is a function of a module, and its arguments.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from kdsnn.errors import PoolError, TimedOutError

__all__ = ["Pool", "completed", "local_pool", "result_of", "variables"]

POLL_S = 5.0  # between looks at whether the workers are there
T = TypeVar("T")


def _as_it_is(value: Any) -> Any:
    return value


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Pool:
    """Workers that take jobs.

    Attributes:
        executor: hands the jobs out.
        workers: jobs at a time.
        through: the function that runs a job on its worker, and its first arguments; empty where a job runs as it is.
        share: gives a large value that many jobs need to all workers at once; returns what to submit in its place.
        check: raises PoolError where no worker is left.
    """

    executor: Executor
    workers: int
    through: tuple[Any, ...] = ()
    share: Callable[[Any], Any] = _as_it_is
    check: Callable[[], None] = _nothing

    def submit(self, job: Callable[..., T], *arguments: Any) -> Future[T]:
        """Hands a job to a worker, once one is free."""
        return self.executor.submit(*self.through, job, *arguments)


@contextmanager
def local_pool(workers: int) -> Iterator[Pool]:
    """Processes of this machine, each with its share of the cores; at the end, jobs that have not begun are dropped.

    Where an exception or an interruption is the end, those that run are ended, too.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(threads,))
    others = active_children()
    try:
        yield Pool(executor, workers, (_run,))
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in set(active_children()).difference(others):
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def completed(pool: Pool, jobs: Iterable[Future[T]], *, time_limit_s: float | None = None) -> Iterator[Future[T]]:
    """The jobs of a pool as they end.

    Raises:
        PoolError: no worker is left.
        TimedOutError: not all ended within `time_limit_s`.
    """
    pending, begun = set(jobs), time.monotonic()
    while pending:
        left = POLL_S if time_limit_s is None else begun + time_limit_s - time.monotonic()
        done, pending = wait(pending, timeout=min(POLL_S, max(left, 0.0)), return_when=FIRST_COMPLETED)
        if not done or any(job.cancelled() for job in done):
            pool.check()
        yield from done
        if pending and time_limit_s is not None and time.monotonic() > begun + time_limit_s:
            raise TimedOutError(f"the pool passed its limit of {time_limit_s:g} s with {len(pending)} jobs to go")


def result_of(job: Future[T]) -> T:
    """What a job returned.

    Raises:
        PoolError: its worker died, or cannot load what the job needs.
        Exception: whatever the job raised.
    """
    try:
        return job.result()
    except (BrokenExecutor, CancelledError) as error:
        raise PoolError("a process died, for lack of memory perhaps: try fewer workers") from error
    except ImportError as error:
        raise PoolError(
            f"a worker cannot load what a job needs: {error}", hint="install the same packages on all machines"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "distributed":
            raise PoolError(f"the pool gave a job up: {error}") from error
        raise


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of the environment for a while."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _begin(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal: the first one ends these
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    threadpool_limits(threads, user_api="blas")


def _run(job: Callable[..., T], *arguments: Any) -> T:
    try:
        return job(*arguments)
    except SystemExit as stop:  # as an answer it would keep this process alive, which would take the next job
        os._exit(stop.code if isinstance(stop.code, int) else 1)


def _end(number: int, _frame: object) -> None:
    """Ends this process by an exception, so that its job tidies up."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
