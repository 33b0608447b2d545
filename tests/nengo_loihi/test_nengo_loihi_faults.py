"""Whatever happens to the worker, the caller gets one clear error, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdsnn.errors import TargetUnavailableError, TimedOutError
from kdsnn.targets.nengo_loihi import adapter
from kdsnn.targets.nengo_loihi.adapter import NengoLoihiTarget
from kdsnn.targets.processes import one_worker
from kdsnn.testing import example_networks, random_images
from tests.faults import scratch_folder, spoil_the_answer, workers

NETWORK = example_networks()[0]
MANY = random_images(NETWORK, 5000)  # more than any of these tests lets it finish


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    with scratch_folder(monkeypatch, tmp_path, "nengo-loihi") as folder:
        yield folder


def run(time_limit_s: float = 60, **options: Any) -> None:
    NengoLoihiTarget(lanes=1).compile(NETWORK).run(MANY, time_limit_s=time_limit_s, **options)


def test_a_worker_that_is_killed_each_time_ends_the_run() -> None:
    def kill(_: int) -> None:
        for worker in workers("nengo-loihi"):
            with contextlib.suppress(ProcessLookupError):  # gone since
                os.kill(worker, signal.SIGKILL)

    with pytest.raises(TargetUnavailableError, match="the nengo-loihi worker was lost: killed by SIGKILL") as caught:
        run(progress=kill)
    assert caught.value.exit_code == 6
    assert workers("nengo-loihi") == []


def test_a_run_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimedOutError, match=r"nengo-loihi passed its limit of 2 s after [1-9]"):
        run(time_limit_s=2)
    assert workers("nengo-loihi") == []


def test_an_exception_in_the_worker_is_shown_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    write = adapter.write_job

    def write_and_spoil(folder: Path, *arguments: Any, **options: Any) -> None:
        write(folder, *arguments, **options)
        job = json.loads((folder / "job.json").read_text())
        job["projections"][0]["target"] = 77
        (folder / "job.json").write_text(json.dumps(job))

    monkeypatch.setattr(adapter, "write_job", write_and_spoil)
    with pytest.raises(TargetUnavailableError, match="was lost: KeyError: 77") as caught:
        run()
    assert any("emulate.py" in line for line in caught.value.problems)


@pytest.mark.parametrize(
    ("file", "message"), [("result.json", "another network"), ("events.npy", r"left events.npy as int64 \(3, 7\)")]
)
def test_an_answer_that_does_not_belong_to_the_job_is_refused(
    monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    spoil_the_answer(monkeypatch, one_worker, file, NETWORK)
    with pytest.raises(TargetUnavailableError, match=message):
        NengoLoihiTarget().compile(NETWORK).run(MANY[:2])
