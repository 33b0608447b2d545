"""No file of up to 64 MiB makes a command take more than 2 GiB or 30 s before it is refused, or done.

`uv run pytest -n 0 -m long tests/fuzzing/test_hostile.py -s` prints what each took. A command runs in a fork of this
process, which has loaded all it needs, so what is measured is what the file costs: seconds of the processor, since
others may use the machine, and the most memory, this process's own included.
"""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fuzzing.hostile import HOSTILE, MIB

LARGEST_FILE, MOST_KIB, MOST_S = 64 * MIB, 2 * 2**20, 30.0
IN_CI = ("a ladder of 2^200 paths", "2^24 opcodes", "images of 169 million pixels", "a nested recipe")
ENDED, KILLED = 8 * 2**30, 120  # bytes and seconds at which the system ends a command that has gone astray


@dataclass(frozen=True)
class Took:
    """What a command took, and how it ended."""

    code: int
    seconds: float
    kib: int
    said: str


def taken(command: str, folder: Path) -> Took:
    """Runs `kdsnn` in a folder, in a process of its own."""
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        _run(command, folder)
    _, status, used = os.wait4(child, 0)
    said = (folder / "said").read_text(errors="replace")
    return Took(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss, said)


def _run(command: str, folder: Path) -> None:  # pragma: no cover  in another process
    code = 99
    try:
        os.chdir(folder)
        out = os.open("said", os.O_CREAT | os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        os.environ["KDSNN_RUNS"] = str(folder)
        resource.setrlimit(resource.RLIMIT_AS, (ENDED, ENDED))
        resource.setrlimit(resource.RLIMIT_CPU, (KILLED, KILLED))
        from kdsnn.cli.main import main

        sys.argv = ["kdsnn", *command.split()]
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    finally:
        os._exit(code)


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """What commands load, once."""
    import kdsnn.cli.app
    import kdsnn.report.page
    import kdsnn.steps.convert  # noqa: F401


NAMES = [n if n in IN_CI else pytest.param(n, marks=[pytest.mark.long, pytest.mark.timeout(1800)]) for n in HOSTILE]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_costs_little(name: str, tmp_path: Path) -> None:
    HOSTILE[name].make(tmp_path)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert size <= LARGEST_FILE
    took = taken(HOSTILE[name].command, tmp_path)
    last = took.said.strip().splitlines()[-1:] or [""]
    print(  # noqa: T201  the table belongs in the log
        f"\n{name}: {size / 2**10:,.0f} KiB, {took.seconds:.1f} s, {took.kib / 2**10:,.0f} MiB, exit {took.code}"
        f"  {(next((x for x in took.said.splitlines() if 'error' in x), last[0]))[:150]}"
    )
    assert took.code in (0, 3, 4, 5), took.said[-2000:]
    assert took.seconds < MOST_S
    assert took.kib < MOST_KIB
