"""Whatever happens to the worker, the caller gets one clear error soon, and no process stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdsnn.errors import InputError, TargetUnavailableError, TimedOutError
from kdsnn.targets.processes import one_worker, supervisor
from kdsnn.targets.sanafe import adapter
from kdsnn.targets.sanafe.adapter import SanafeTarget
from kdsnn.testing import example_networks, random_images
from tests.faults import scratch_folder, spoil_the_answer, wait_until, workers

NETWORK = example_networks()[0]
MANY = random_images(NETWORK, 5000)  # more than any of these tests lets it finish


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    with scratch_folder(monkeypatch, tmp_path, "sanafe") as folder:
        yield folder


def run(progress: Callable[[int], None] | None = None, time_limit_s: float | None = 60) -> None:
    SanafeTarget().compile(NETWORK).run(MANY, progress=progress, time_limit_s=time_limit_s)


def signalled(number: signal.Signals) -> Callable[[int], None]:
    """A progress callback that signals the worker, once."""
    acted: list[int] = []

    def progress(_: int) -> None:
        if not acted:
            acted.extend(workers("sanafe"))
            os.kill(acted[0], number)

    return progress


def test_a_worker_that_is_killed_each_time_ends_the_run() -> None:
    def kill(_: int) -> None:
        for worker in workers("sanafe"):
            os.kill(worker, signal.SIGKILL)

    lost = "the SANA-FE worker was lost: killed by SIGKILL, as 3 times before"
    with pytest.raises(TargetUnavailableError, match=lost) as caught:
        run(kill)
    assert caught.value.exit_code == 6


def test_a_run_that_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(TimedOutError, match="limit of 3 s after") as caught:
        run(signalled(signal.SIGSTOP), time_limit_s=3)
    assert caught.value.exit_code == 7
    assert time.monotonic() - start < 12


def test_without_a_limit_a_run_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STALL_LIMIT_S", 3.0)
    with pytest.raises(TimedOutError, match="no image for 3 s"):
        run(signalled(signal.SIGSTOP), time_limit_s=None)


def test_an_interrupt_ends_the_worker() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupt)


def spoil(monkeypatch: pytest.MonkeyPatch, file: str, content: bytes) -> None:
    """Every job that is written has this in that file."""
    write = adapter.write_job

    def write_and_spoil(folder: Path, *arguments: Any, **options: Any) -> None:
        write(folder, *arguments, **options)
        (folder / file).write_bytes(content)

    monkeypatch.setattr(adapter, "write_job", write_and_spoil)


def test_an_exception_in_the_worker_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, "synapses.1.npy", b"not an array")
    with pytest.raises(TargetUnavailableError, match="was lost: ValueError") as caught:
        run()
    assert any("Traceback" in line or "synapses" in line for line in caught.value.problems)


def test_what_sanafe_says_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, "chip.yaml", b"architecture: [")
    with pytest.raises(TargetUnavailableError, match="was lost: RuntimeError: missing terminating") as caught:
        run()
    assert any("ERROR: [parse]" in line for line in caught.value.problems)


def test_a_crash_in_native_code_says_where() -> None:
    with pytest.raises(TargetUnavailableError, match="was lost: killed by SIGSEGV") as caught:
        run(signalled(signal.SIGSEGV))
    assert any("Segmentation fault" in line for line in caught.value.problems)
    assert any("worker/simulate.py" in line for line in caught.value.problems)


@pytest.mark.parametrize(("file", "message"), [("result.json", "another network"), ("spikes.5.npy", "spikes.5.npy")])
def test_an_answer_that_does_not_belong_to_the_job_is_refused(
    monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    spoil_the_answer(monkeypatch, one_worker, file, NETWORK)
    with pytest.raises(TargetUnavailableError, match=message):
        SanafeTarget().compile(NETWORK).run(MANY[:2])


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(adapter, "write_job", full)
    with pytest.raises(TargetUnavailableError, match="No space left"):
        run()


def test_wrong_images_are_refused_before_anything_starts() -> None:
    program = SanafeTarget().compile(NETWORK)
    for wrong in (MANY[:0], MANY[:, :1], MANY[:2].astype(np.float32)):
        with pytest.raises(InputError):
            program.run(wrong)


def test_a_killed_parent_leaves_no_orphans(scratch: Path) -> None:
    script = (
        "from kdsnn.targets.sanafe.adapter import SanafeTarget\n"
        "from kdsnn.testing import example_networks, random_images\n"
        "network = example_networks()[0]\n"
        "run = SanafeTarget().compile(network).run\n"
        "run(random_images(network, 5000), progress=lambda n: print(n, flush=True))\n"
    )
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline(), "it made no progress"
        assert workers("sanafe")
        parent.kill()
    wait_until(lambda: not workers("sanafe") and not list(scratch.iterdir()), "an orphan or its folder is left")
