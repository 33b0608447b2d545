"""What ends a command from outside: SIGINT (Ctrl-C), SIGTERM and SIGHUP raise one exception, and all is tidied up."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "ending_signals", "held_signals", "to_go_on"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 10.0  # for workers to end and folders to go; a signal that comes after it ends the process at once
AGAIN_S = 0.05  # until a signal comes again whose exception was swallowed


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        signal: which one.
    """

    def __init__(self, signal: signal.Signals) -> None:
        super().__init__(f"interrupted by {signal.name}")
        self.signal = signal


class _Handler:
    """Raises at the first signal, and lets nothing disturb the tidying up that follows."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.held = 0
        self.waiting: Interrupted | None = None
        self.lost = False
        self.others = sys.unraisablehook

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is None or self.lost:
            self.first, self.waiting, self.lost = now, Interrupted(signal.Signals(number)), False
            if not self.held:
                self.release()
        elif now - self.first > PATIENCE_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def release(self) -> None:
        """Raises what came while signals were held."""
        if self.waiting is not None:
            stop, self.waiting = self.waiting, None
            raise stop

    def swallowed(self, told: sys.UnraisableHookArgs) -> None:
        """Python's hook for what is raised where nothing can catch it: in a `__del__`, or the callback of a weakref.

        A signal that came in one is sent again a moment later, until the exception is raised where it counts.
        """
        stop = told.exc_value
        if not isinstance(stop, Interrupted):
            self.others(told)
            return
        self.lost = True
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, stop.signal))
        again.daemon = True
        again.start()


@contextmanager
def ending_signals(*, until_exit: bool = False) -> Iterator[None]:
    """Has the first signal that asks the process to end raise `Interrupted` in the main thread, inside the block.

    What is ignored, as SIGHUP under `nohup`, stays so. In such a block, or outside the main thread, nothing changes.

    Args:
        until_exit: the process ends after the block, and further signals shall not disturb its end.
    """
    if threading.current_thread() is not threading.main_thread() or _handler() is not None:
        yield
        return
    handler = _Handler()
    before = {number: signal.getsignal(number) for number in ENDING}
    before = {number: kept for number, kept in before.items() if kept is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    sys.unraisablehook = handler.swallowed
    try:
        yield
    finally:
        sys.unraisablehook = handler.others
        for number, kept in before.items():  # as Python ends, it takes its handlers back: what is ignored stays so
            signal.signal(number, kept if handler.first is None or not until_exit else signal.SIG_IGN)


@contextmanager
def held_signals() -> Iterator[Callable[[], None]]:
    """Keeps `Interrupted` out of the block, but where it calls the function that it is given, and raises it at its end.

    An exception between two lines of `subprocess` leaves its locks taken: the next wait for the process never ends.
    """
    handler = _handler() if threading.current_thread() is threading.main_thread() else None
    if handler is None:
        yield lambda: None
        return
    handler.held += 1
    try:
        yield handler.release
    finally:
        handler.held -= 1
    handler.release()


def _handler() -> _Handler | None:
    return next((h for h in map(signal.getsignal, ENDING) if isinstance(h, _Handler)), None)


@contextmanager
def to_go_on(how: str) -> Iterator[None]:
    """Notes how to go on, on an interruption that ends the block. The note of the outermost block is what counts."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(how)
        raise
