"""Runs the `kdsnn` command: every error becomes one clear line and an exit code, and so does a signal."""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import suppress

from kdsnn.errors import KdsnnError
from kdsnn.jobs.interruption import Interrupted, ending_signals

__all__ = ["main"]

AGAIN = "run the same command again"


def main() -> None:
    """Runs the command line and exits with its code."""
    # Beside other load, threads that spin 300,000 times for each other lose most of their time (benchmarks/README.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    with ending_signals(until_exit=True):
        code = _run()
        code = _flushed(code)
    sys.exit(code)


def _run() -> int:
    """Runs the command; its exit code."""
    debug = "--debug" in sys.argv or os.environ.get("KDSNN_DEBUG") == "1"
    out = _copy_of_stdout()
    try:
        from kdsnn.cli.app import app  # here, for a signal may come while it is loaded
        from kdsnn.extras import naming_extras

        with naming_extras():
            app()
    except BaseException as error:
        cause = _cause(error)
        if isinstance(cause, KeyboardInterrupt):
            return _interrupted(cause)
        if isinstance(cause, BrokenPipeError) and _is_closed(out):
            return 0
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else 0
        if debug:
            raise
        return _failed(error)
    finally:
        if out is not None:
            os.close(out)
    return 0


def _cause(error: BaseException) -> BaseException:
    """The interruption or the closed pipe beneath an exit, with which typer and rich answer both."""
    beneath: BaseException | None = error if isinstance(error, SystemExit) else None
    while beneath is not None and not isinstance(beneath, KeyboardInterrupt | BrokenPipeError):
        beneath = beneath.__cause__ or beneath.__context__
    return beneath or error


def _interrupted(stop: KeyboardInterrupt) -> int:
    number = stop.signal if isinstance(stop, Interrupted) else signal.SIGINT
    how = (AGAIN, *getattr(stop, "__notes__", ()))[-1]
    with suppress(OSError):  # the terminal may be what is gone
        print(f"interrupted by {number.name}: {how}", file=sys.stderr, flush=True)  # noqa: T201
    return 128 + number


def _failed(error: BaseException) -> int:
    from kdsnn.cli.common import show_error
    from kdsnn.files.writing import fault_of_system

    if isinstance(error, OSError):
        error = fault_of_system(error) or error
    if not isinstance(error, KdsnnError):
        hint = "this is a bug in kdsnn: run again with --debug and report the traceback"
        error = KdsnnError(f"{type(error).__name__}: {error}", hint=hint)
    show_error(error)
    return error.exit_code


def _copy_of_stdout() -> int | None:
    """A file descriptor of what stdout is now, whatever is done to it; None where it is no file."""
    try:
        return os.dup(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return None


def _is_closed(out: int | None) -> bool:
    """Whether it is a pipe that nobody reads any more."""
    if out is None:
        return False
    poll = select.poll()
    poll.register(out, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _flushed(code: int) -> int:
    """The exit code once all is written. What cannot be written is dropped, else Python tries again as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if not isinstance(error, BrokenPipeError) and code == 0:
                code = _failed(error)
    return code
