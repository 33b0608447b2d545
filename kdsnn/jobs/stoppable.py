"""Jobs in threads that can be stopped from outside, as those of a pool's workers are when its command ends."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Stopped", "run_stoppable", "stop_jobs"]

T = TypeVar("T")
_lock = threading.Lock()
_running: dict[int, str] = {}  # by thread: whose job it runs


class Stopped(BaseException):
    """Ends a job wherever it is; no error, so that nothing takes it for one and goes on."""


def run_stoppable(owner: str, job: Callable[..., T], *arguments: Any) -> T:
    """Runs a job in this thread, in which `stop_jobs(owner)` raises `Stopped`."""
    thread = threading.get_ident()
    with _lock:
        _running[thread] = owner
    try:
        return job(*arguments)
    finally:
        with _lock:
            del _running[thread]
            _raise_in(thread, None)  # one that comes too late


def stop_jobs(owner: str) -> int:
    """Stops the jobs of an owner in this process, at their next line of Python; how many there were."""
    with _lock:
        found = [thread for thread, whose in _running.items() if whose == owner]
        for thread in found:
            _raise_in(thread, Stopped)
    return len(found)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error) if error else None)
