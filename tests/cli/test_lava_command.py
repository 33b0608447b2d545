"""The promise, through the command line: a trained network on real Lava, and what happens when Lava is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.targets.lava.environment import setup_environment
from tests.cli.conftest import Cli

KDSNN = [sys.executable, "-c", "from kdsnn.cli.main import main; main()"]


@pytest.fixture(scope="module", autouse=True)
def _lava() -> None:
    setup_environment()


def test_real_lava_equals_torch_and_the_reference_on_100_images(cli: Cli, run: Path) -> None:
    done = {t: cli("evaluate", run, "--target", t, "--samples", 100, "--json") for t in ("lava", "gpu", "reference")}
    for result in done.values():
        assert result.code == 0, result.err
    lava, torch, reference = (done[t].json for t in ("lava", "gpu", "reference"))
    assert lava["samples"] == 100
    assert len(lava["compared_populations"]) == 6
    assert lava["predictions"] == torch["predictions"] == reference["predictions"]
    assert lava["layers"] == torch["layers"] == reference["layers"]
    assert lava["counts"]["spikes"] > 10_000
    assert lava["versions"]["lava-nc"] == "0.10.0"


def test_intels_models_and_several_workers_compute_the_same(cli: Cli, run: Path) -> None:
    flags = ((), ("--stock",), ("--workers", 2))
    ours, stock, two = (cli("evaluate", run, "-t", "lava", "-n", 3, *flag, "--json") for flag in flags)
    assert stock.code == two.code == 0, stock.err + two.err
    assert ours.json["layers"] == stock.json["layers"] == two.json["layers"]
    assert ours.json["predictions"] == stock.json["predictions"] == two.json["predictions"]
    assert [d.json["notes"]["lanes"] for d in (ours, stock, two)] == [3, 1, 2]
    assert [d.json["notes"]["workers"] for d in (ours, stock, two)] == [1, 1, 2]


def test_flags_of_lava_are_refused_by_other_targets_and_wrong_ones_by_lava(cli: Cli, run: Path) -> None:
    for arguments, message in (
        (("-t", "gpu", "--workers", 2), "no option 'workers'"),
        (("-t", "reference", "--stock"), "no option 'stock'"),
        (("-t", "lava", "-O", "workers=0"), "at least 1"),
        (("-t", "lava", "-O", "lanes=-1"), "lanes must be"),
        (("-t", "lava", "-O", "lanes=few"), "valid integer"),
    ):
        done = cli("evaluate", run, *arguments)
        assert done.code == 2, done.err
        assert message in done.err


def test_export_for_lava(cli: Cli, run: Path, tmp_path: Path) -> None:
    done = cli("export", run, "--target", "lava", "-o", tmp_path / "bundle", "--json")
    assert done.code == 0, done.err
    assert done.json["verified"]["images"] == 4
    assert {"model.nir", "worker/main.py", "job/job.json", "requirements.txt"} <= set(done.json["files"])


def test_a_time_limit_is_code_7(cli: Cli, run: Path) -> None:
    began = time.monotonic()
    done = cli("evaluate", run, "-t", "lava", "--time-limit", 0.5)
    assert done.code == 7, done.err
    assert "Traceback" not in done.err
    assert "0.5 s" in done.err
    assert time.monotonic() - began < 30


def test_a_worker_that_crashes_is_code_6(run: Path, tmp_path: Path) -> None:
    test = load_dataset("digits").test
    np.savez(tmp_path / "many.npz", x=np.tile(test.images, (40, 1, 1, 1)))
    arguments = ["evaluate", str(run), "-t", "lava", "--stock", "--images", str(tmp_path / "many.npz")]
    process = subprocess.Popen([*KDSNN, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.kill(_lava_child(process.pid), signal.SIGSEGV)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 6, err
    assert out == ""
    assert "Traceback" not in err
    assert "SIGSEGV" in err


def _lava_child(pid: int) -> int:
    """A Lava process below the command, once the simulation runs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for worker in _children(pid):
            processes = _children(worker)
            if len(processes) > 8:
                time.sleep(1.0)  # well into the run
                return processes[5]
        time.sleep(0.1)
    raise AssertionError("no Lava process appeared")


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
