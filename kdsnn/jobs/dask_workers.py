"""The workers of a Dask scheduler as a pool (extra `dask`): on this machine, or on any number of others.

Who can reach a scheduler can run code on its workers: keep it in a network that you trust, or use `tls://` with Dask's
own settings. A worker runs one job at a time, for trainings in one process would share torch's random numbers.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from kdsnn import __version__
from kdsnn.errors import KdsnnError, LockedError, PoolError, UsageError
from kdsnn.extras import naming_extras
from kdsnn.files.writing import remove, write_atomic
from kdsnn.jobs.local_processes import Pool, variables
from kdsnn.jobs.stoppable import Stopped, run_stoppable, stop_jobs

__all__ = ["Terms", "check_terms", "dask_pool", "run_job"]

CONNECT_S = 10.0  # for a scheduler to answer, and for its first worker to be there
RELEASE_S = 30.0  # for a worker that is ended to let its run go: Dask kills one that still computes after 8 s
LOST_S = 60.0  # for a worker to come back, where all are gone
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
        owner: of the jobs: the name of this use of the pool.
    """

    version: str
    token: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""


@contextmanager
def dask_pool(address: str, *, shared: Path | None = None, environ: Mapping[str, str] | None = None) -> Iterator[Pool]:
    """The workers of a Dask scheduler; at the end, jobs that have not begun are dropped.

    Where an exception or an interruption is the end, those that run are stopped, too. A worker that joins later takes
    jobs, if it fits.

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
        terms = Terms(__version__, token, dict(environ or {}), uuid4().hex)
        _check_workers(client, address, terms)
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)
        try:
            yield Pool(
                executor,
                len(client.nthreads()),
                (run_job, terms),
                share=partial(client.scatter, broadcast=True, hash=False),
                check=partial(_check_alive, client, address),
            )
        except BaseException:
            executor.shutdown(wait=False)
            with suppress(Exception):  # the pool may be what was lost
                client.run(stop_jobs, terms.owner, on_error="ignore")
            raise


def run_job(terms: Terms, job: Callable[..., T], *arguments: Any) -> T:
    """Runs a job on a worker of a pool; its errors name the machine.

    Raises:
        PoolError: the worker does not meet the terms.
    """
    try:
        check_terms(terms)
        with _one_job, variables(terms.variables):
            result: T = run_stoppable(terms.owner, _with_patience, job, *arguments)
            return result
    except Stopped:
        raise PoolError(f"the command that asked for this job was ended (on {socket.gethostname()})") from None
    except KdsnnError as error:
        error.message += f" (on {socket.gethostname()})"
        raise


def _with_patience(job: Callable[..., T], *arguments: Any) -> T:
    end = time.monotonic() + RELEASE_S
    while True:
        try:
            return job(*arguments)
        except LockedError:
            if time.monotonic() > end:
                raise
            time.sleep(RELEASE_S / 30)


def check_terms(terms: Terms) -> None:
    """Raises PoolError where this process does not meet the terms."""
    if terms.version != __version__:
        raise PoolError(f"it has kdsnn {__version__}, not {terms.version}")
    if terms.token is None:
        return
    folder = terms.token.parent
    if not terms.token.is_file():
        raise PoolError(f"it does not see {folder} as it is here")
    if not os.access(folder, os.W_OK):
        raise PoolError(f"it may not write to {folder}")


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
    with naming_extras():
        from distributed import Client
    if not ADDRESS.fullmatch(address):
        raise UsageError(f"{address!r} is no address of a pool", hint="give one such as tcp://host:8786")
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except OSError as error:
        raise PoolError(
            f"no Dask scheduler answers at {address}", hint="start one with: dask scheduler, which shows its address"
        ) from error
    except (ValueError, TypeError) as error:  # TypeError: tls:// without certificates
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
    token = folder / f".pool-{uuid4().hex}"
    write_atomic(token, b"")
    try:
        yield token
    finally:
        remove(token)
