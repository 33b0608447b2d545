"""Commands that a signal ends, real processes: nothing stays behind, and one line says how to go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kdsnn.jobs.interruption import Interrupted, ending_signals
from kdsnn.targets.lava.environment import setup_environment
from tests.small_run import small_run

KDSNN = [sys.executable, "-m", "kdsnn"]
GONE_WITHIN_S = 10.0


@pytest.fixture(autouse=True)
def _hang_ups_are_not_ignored() -> Iterator[None]:
    """As they are under `nohup`: commands inherit that, and keep to it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def place() -> Iterator[Path]:
    """The folder for temporary files of a command: empty at the end, and no process of the command lives."""
    folder = Path(tempfile.mkdtemp(prefix="kdsnn-test-"))  # a short path, as users have
    yield folder
    deadline = time.monotonic() + GONE_WITHIN_S
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert [file.name for file in folder.iterdir() if not file.name.startswith("torchinductor")] == []  # torch's cache
    shutil.rmtree(folder)


def processes_of(folder: Path) -> list[str]:
    """Command lines of the living processes whose temporary files go there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return [line for line in found if line]


def started(place: Path, *arguments: object) -> subprocess.Popen[str]:
    there = {**os.environ, "TMPDIR": str(place), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [*KDSNN, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=there)


def ended(process: subprocess.Popen[str], number: signal.Signals, reached: Callable[[], bool], times: int = 1) -> str:
    """Signals a command once something is reached; what it wrote to stderr."""
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert len(err.splitlines()) == 1, err
    return err


def job_at(place: Path, share: float, steps: int) -> Callable[[], bool]:
    """Whether a Lava worker has done that share of its steps."""

    def reached() -> bool:
        for file in place.glob("kdsnn-lava-*/progress.npy"):
            try:
                return bool(np.load(file)[0] >= share * steps)
            except (OSError, ValueError, EOFError):
                return False
        return False

    return reached


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "end"),
        (signal.SIGHUP, "run"),
        *(
            pytest.param(number, moment, marks=pytest.mark.long)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            for moment in ("start", "run", "end")
        ),
    ],
)
def test_a_signal_ends_a_run_on_lava(place: Path, number: signal.Signals, moment: str) -> None:
    setup_environment()
    small_run()
    samples = 60
    process = started(place, "evaluate", "small", "-t", "lava", "-n", samples, "-O", "lanes=1")
    reached = {
        "start": lambda: any(place.glob("kdsnn-lava-*")),
        "run": job_at(place, 0.3, 2 * samples),
        "end": lambda: any(place.glob("kdsnn-lava-*/result.json")),
    }[moment]
    err = ended(process, number, reached)
    assert err == f"interrupted by {number.name}: run the same command again\n"


def test_a_training_says_how_to_resume_and_a_second_signal_disturbs_nothing(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "a run"
    changes = ["--set", "train.epochs=500", "--set", "distill.kind=none"]
    process = started(place, "distill", "digits-2conv", "--run", run, *changes)
    err = ended(process, signal.SIGTERM, (run / "checkpoint.safetensors").exists, times=2)
    assert err == f"interrupted by SIGTERM: go on with: kdsnn distill '{run}/recipe.toml' --run '{run}' --resume\n"
    assert not [f.name for f in run.iterdir() if f.name.startswith(".") and f.name != ".lock"]


def test_what_is_ignored_stays_so(place: Path) -> None:
    code = (
        "import os, signal\nfrom kdsnn.jobs.interruption import ending_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with ending_signals():\n    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def comes_in_a_del() -> None:
    class Last:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    Last()


def comes_in_the_callback_of_a_weakref() -> None:
    class Any:
        pass

    seen = Any()
    kept = weakref.ref(seen, lambda _: signal.raise_signal(signal.SIGTERM))
    del seen
    assert kept() is None


def works_while(comes: Callable[[], None]) -> None:
    with ending_signals():
        comes()
        time.sleep(GONE_WITHIN_S)


@pytest.mark.parametrize("comes", [comes_in_a_del, comes_in_the_callback_of_a_weakref])
def test_a_signal_ends_the_block_wherever_it_comes(comes: Callable[[], None]) -> None:
    """Python swallows what is raised in these places."""
    hook = sys.unraisablehook
    with pytest.raises(Interrupted) as told:
        works_while(comes)
    assert told.value.signal == signal.SIGTERM
    assert sys.unraisablehook is hook


def test_what_else_is_swallowed_goes_where_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    class Last:
        def __del__(self) -> None:
            raise ValueError("in vain")

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.exc_type))
    with ending_signals():
        Last()
    assert told == [ValueError]


@pytest.mark.parametrize(
    ("command", "reader"),
    [("--help", "head -n 1"), ("list recipes", "head -n 0"), ("paper table4", "head -n 0")],
)
def test_a_closed_pipe_is_quiet_and_no_error(command: str, reader: str) -> None:
    script = f"{' '.join(KDSNN)} {command} | {reader} > /dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_output_is_named() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(KDSNN)} list recipes > /dev/full"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "the output cannot be written: No space left on device" in done.stderr
