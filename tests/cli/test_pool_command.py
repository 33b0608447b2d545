"""`--pool`: what the commands say where a pool cannot be used, and an evaluation on one."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from kdsnn.jobs import dask_workers as cluster
from kdsnn.jobs.local_processes import Pool
from tests.cli.conftest import Cli


def test_an_evaluation_on_a_pool(cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    @contextmanager
    def threads(address: str) -> Iterator[Pool]:
        asked.append(address)
        with ThreadPoolExecutor(3) as executor:
            yield Pool(executor, 3)

    monkeypatch.setattr(cluster, "dask_pool", threads)
    command = ("evaluate", run, "--target", "reference", "-n", 20, "--json", "--dump")
    alone = cli(*command, tmp_path / "alone.npz")
    pooled = cli(*command, tmp_path / "pooled.npz", "--pool", "tcp://host:8786")
    assert (alone.code, pooled.code) == (0, 0), pooled.err
    measured = {"wall_s", "samples_per_s", "notes"}
    assert {k: v for k, v in pooled.json.items() if k not in measured} == {
        k: v for k, v in alone.json.items() if k not in measured
    }
    assert asked == ["tcp://host:8786"]
    with np.load(tmp_path / "alone.npz") as one, np.load(tmp_path / "pooled.npz") as other:
        assert set(one) == set(other)
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_no_scheduler_at_the_address(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    done = cli("paper", "table4", "--run", "--rows", "mnist-2conv", "--pool", "tcp://127.0.0.1:9")
    assert (done.code, done.out) == (6, "")
    assert done.err == (
        "error: no Dask scheduler answers at tcp://127.0.0.1:9\n"
        "  start one with: dask scheduler, which shows its address\n"
    )


def test_the_extra_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = cli("paper", "table1", "--run", "--rows", "mnist5k-2conv", "--pool", "tcp://127.0.0.1:9")
    assert done.code == 6
    assert "pip install 'kdsnn[dask]'" in done.err


def test_workers_of_this_machine_and_of_a_pool_exclude_each_other(cli: Cli) -> None:
    done = cli("paper", "table1", "--run", "--workers", "2", "--pool", "tcp://127.0.0.1:9")
    assert done.code == 2
    assert "give one of them" in done.err
