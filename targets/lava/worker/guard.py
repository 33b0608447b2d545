"""Ends the worker, with all its processes, when one of them dies or when the program that started it is gone.

Lava itself waits for ever in both cases.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from multiprocessing import connection
from pathlib import Path
from typing import Any

__all__ = ["Guard", "end_group", "end_with_parent", "write_error"]

INTERVAL_S = 0.25


def end_with_parent() -> None:
    """Ends the whole process group once the parent of this process is gone; watched from a thread."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL_S)
        end_group()

    threading.Thread(target=watch, daemon=True).start()


def end_group() -> None:
    """Ends this process and all others of its group."""
    # SIGTERM, not SIGKILL: multiprocessing's resource tracker ignores it and, left alone, frees the shared memory
    os.killpg(os.getpgrp(), signal.SIGTERM)


def write_error(folder: Path, message: str, killed_by: int | None = None) -> None:
    """Leaves the reason of the end for the adapter, unless one is there already: the first is the cause.

    Args:
        folder: of the job.
        message: the reason.
        killed_by: the signal that ended a process, if one did.
    """
    print(message, file=sys.stderr, flush=True)  # noqa: T201  stderr is kept by the adapter
    path = folder / "error.json"
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"message": message, "signal": killed_by}))
        part.replace(path)


class Guard:
    """A thread in the worker's main process that watches the parent and the processes of a Lava runtime.

    Args:
        folder: of the job; the reason is written there.
        parent: process id of the program that started this one, or None where it was started by hand.
    """

    def __init__(self, folder: Path, parent: int | None) -> None:
        self.folder, self.temporary = folder, parent is not None
        self.parent = os.getppid() if parent is None else parent
        self.runtime: Any = None
        self.names: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def watch(self, runtime: Any, names: list[str]) -> None:
        """Watches the processes of this runtime too; `names` in their order."""
        self.names, self.runtime = names, runtime

    def stop(self) -> None:
        """No longer watches: from here on, processes may end."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.is_set():
            if os.getppid() != self.parent:
                if self.temporary:
                    shutil.rmtree(self.folder, ignore_errors=True)  # nobody is left to read or remove it
                end_group()
            infrastructure = getattr(self.runtime, "_messaging_infrastructure", None)
            actors = list(getattr(infrastructure, "actors", ()))
            if not actors:
                self._done.wait(INTERVAL_S)
                continue
            dead = connection.wait([a.sentinel for a in actors], timeout=INTERVAL_S)
            if dead and not self._done.is_set():
                self._report(actors, dead)
                end_group()

    def _report(self, actors: list[Any], dead: list[Any]) -> None:
        index = next(i for i, actor in enumerate(actors) if actor.sentinel in dead)
        name = self.names[index] if index < len(self.names) else "runtime service"
        code, failure = _end_of(actors[index])
        if failure:
            error, trace = failure
            write_error(self.folder, f"Lava process {name!r} raised {type(error).__name__}: {error}\n{trace}")
        elif code is not None and code < 0:
            write_error(self.folder, f"Lava process {name!r} was killed by {signal.Signals(-code).name}", -code)
        else:
            write_error(self.folder, f"Lava process {name!r} ended with exit code {code}")


def _end_of(actor: Any) -> tuple[int | None, tuple[BaseException, str] | None]:
    """Exit code of a process that just ended, and the exception and its traceback if it raised one."""
    try:
        failure = actor.exception
        for _ in range(50):
            if actor.exitcode is not None:
                break
            time.sleep(0.01)  # its pipe closes a moment before the system has its exit code
        return actor.exitcode, failure
    except (OSError, ValueError, EOFError):  # the main thread was first, and closed it
        return None, None
