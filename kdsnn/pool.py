"""Where jobs run: in processes of this machine, or on the workers of a Dask scheduler (extra `dask`), on any machines.

Both are a `Pool`, so what submits jobs does not know which it has. A job is a function of a module and its arguments;
a worker runs one at a time, for trainings would share torch's random numbers.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from kdsnn.errors import InputError, MissingExtraError, PoolError, TimedOutError, UsageError

__all__ = ["Pool", "completed", "dask_pool", "local_pool", "result_of", "variables"]

CONNECT_S = 10.0  # for a scheduler to answer, and for its first worker to be there
LOST_S = 60.0  # for a worker to come back, where all are gone
POLL_S = 5.0
VERSION = version("kdsnn")
ADDRESS = re.compile(r"[a-z]+://.+:\d+")
START_WORKERS = "start some with: dask worker {} --nthreads 1"
T = TypeVar("T")
_one_job = threading.Lock()


@dataclass(frozen=True)
class Terms:
    """What must hold on a worker before it runs a job.

    Attributes:
        version: of kdsnn.
        token: a file in a folder that all machines share, and may write to; None where jobs need no such folder.
        variables: of the environment, while a job runs.
    """

    version: str
    token: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


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
        terms: what each job asks of its worker first; None in processes of this machine.
        share: gives a large value that many jobs need to all workers at once; returns what to submit in its place.
        check: raises PoolError where no worker is left.
    """

    executor: Executor
    workers: int
    terms: Terms | None = None
    share: Callable[[Any], Any] = _as_it_is
    check: Callable[[], None] = _nothing

    def submit(self, job: Callable[..., T], *arguments: Any) -> Future[T]:
        """Hands a job to a worker, once one is free."""
        if self.terms is None:
            return self.executor.submit(job, *arguments)
        return self.executor.submit(run_job, self.terms, job, *arguments)


@contextmanager
def local_pool(workers: int) -> Iterator[Pool]:
    """Processes of this machine, each with its share of the cores; at the end, jobs that have not begun are dropped."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(threads,))
    try:
        yield Pool(executor, workers)
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def dask_pool(address: str, *, shared: Path | None = None, environ: Mapping[str, str] | None = None) -> Iterator[Pool]:
    """The workers of a Dask scheduler; at the end, jobs that have not begun are dropped.

    A worker that joins later takes jobs, too. Who can reach the scheduler can run code on its workers: keep it in a
    network that you trust, or use `tls://` with Dask's own settings.

    Args:
        address: of the scheduler, such as `tcp://host:8786`.
        shared: a folder, made if missing, that all workers must see, too, under the same path.
        environ: variables of the environment in which the jobs run.

    Raises:
        MissingExtraError: Dask is not installed.
        UsageError: the address is none.
        PoolError: no scheduler answers there, it has no workers, or one of them has another version of kdsnn, takes
            several jobs at a time, or does not see the shared folder.
        InputError: the shared folder cannot be written.
    """
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        client = _connect(address)
        stack.callback(client.close)
        token = None if shared is None else stack.enter_context(_token(shared))
        terms = Terms(VERSION, token, dict(environ or {}))
        _check_workers(client, address, terms)
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)
        yield Pool(
            executor,
            len(client.nthreads()),
            terms,
            share=partial(client.scatter, broadcast=True, hash=False),
            check=partial(_check_alive, client, address),
        )


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


def run_job(terms: Terms, job: Callable[..., T], *arguments: Any) -> T:
    """Runs a job on a worker of a pool.

    Raises:
        PoolError: the worker does not meet the terms.
    """
    check_terms(terms)
    with _one_job, variables(terms.variables):
        return job(*arguments)


def check_terms(terms: Terms) -> None:
    """Raises PoolError where this process does not meet the terms."""
    if terms.version != VERSION:
        raise PoolError(f"it has kdsnn {VERSION}, not {terms.version}")
    if terms.token is None:
        return
    folder = terms.token.parent
    if not terms.token.is_file():
        raise PoolError(f"it does not see {folder} as it is here")
    if not os.access(folder, os.W_OK):
        raise PoolError(f"it may not write to {folder}")


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
    import torch

    torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Dask from logging a traceback for what is raised, too."""
    log = logging.getLogger("distributed.client")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("Dask", "dask") from error
    if not ADDRESS.fullmatch(address):
        raise UsageError(f"{address!r} is no address of a pool", hint="give one such as tcp://host:8786")
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except OSError as error:
        raise PoolError(
            f"no Dask scheduler answers at {address}", hint="start one with: dask scheduler, which shows its address"
        ) from error
    except ValueError as error:
        raise UsageError(f"{address!r} is no address of a pool: {error}") from error


def _check_workers(client: Any, address: str, terms: Terms) -> None:
    """Waits for a first worker, and asks all that are there whether they fit."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
    except TimeoutError as error:
        raise PoolError(f"the pool at {address} has no workers", hint=START_WORKERS.format(address)) from error
    found = client.run(version, "kdsnn", on_error="return")  # of the standard library: it runs without kdsnn, too
    _refuse(
        {worker: f"has {_named(has)}, not {terms.version}" for worker, has in found.items() if has != terms.version},
        "have another version of kdsnn",
        "install the same version on all machines, and start the workers again",
    )
    _refuse(
        {worker: f"has {threads} threads" for worker, threads in client.nthreads().items() if threads > 1},
        "take several jobs at a time, which would share torch's random numbers",
        "start them with --nthreads 1, and with --nworkers for several on a machine",
    )
    answers = client.run(check_terms, terms, on_error="return")
    _refuse(
        {worker: str(answer) for worker, answer in answers.items() if answer is not None},
        "cannot work on the runs of this machine",
        "let KDSNN_RUNS be a folder on a file system that all machines share, under the same path",
    )


def _named(found: Any) -> str:
    return "none" if isinstance(found, Exception) else str(found)


def _refuse(problems: Mapping[str, str], what: str, hint: str) -> None:
    if problems:
        lines = [f"{worker}: {problem}" for worker, problem in sorted(problems.items())]
        raise PoolError(f"workers of the pool {what}", hint=hint, problems=lines)


def _check_alive(client: Any, address: str) -> None:
    try:
        if client.nthreads():
            return
        client.wait_for_workers(1, timeout=LOST_S)
    except TimeoutError as error:
        raise PoolError(f"the pool at {address} has no workers left", hint=START_WORKERS.format(address)) from error
    except OSError as error:
        raise PoolError(f"the scheduler at {address} was lost: {error}") from error


@contextmanager
def _token(folder: Path) -> Iterator[Path]:
    """A file that shows to other machines that they see the same folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".pool-")
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}", hint="set KDSNN_RUNS") from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
