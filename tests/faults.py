"""What tests of faults share, whatever the worker: who lives, what is left, and answers of other jobs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kdsnn.network import Network
from kdsnn.targets.processes.supervisor import Kind

GONE_WITHIN_S = 10.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def workers(target: str) -> list[int]:
    """Living processes whose job is in a temporary folder of ours."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it ended meanwhile
        if f"{tempfile.gettempdir()}/kdsnn-{target}-".encode() in command and state != "Z":
            found.append(int(folder.name))
    return found


@contextmanager
def scratch_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str) -> Iterator[Path]:
    """The place for temporary files, where at the end no worker and no job is left."""
    scratch = tmp_path / "a folder, mit Ümlaut"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield scratch
    wait_until(lambda: not workers(target), "a worker is still there")
    assert not list(scratch.iterdir()), "a job folder is left"


def spoil_the_answer(monkeypatch: pytest.MonkeyPatch, runner: ModuleType, file: str, network: Network) -> None:
    """Has each worker answer for another network, or leave an array of another shape.

    Args:
        monkeypatch: undoes it.
        runner: the module that calls `run_workers`.
        file: which one is spoiled, `result.json` or an array.
        network: that runs.
    """
    run_workers = runner.run_workers

    def run_and_spoil(kind: Kind, folders: list[Path], **options: Any) -> None:
        run_workers(kind, folders, **options)
        (folder,) = folders
        if file.endswith(".npy"):
            np.save(folder / file, np.zeros((3, 7), dtype=np.load(folder / file).dtype))
        else:
            (folder / file).write_text((folder / file).read_text().replace(network.fingerprint(), "0" * 64))

    monkeypatch.setattr(runner, "run_workers", run_and_spoil)
