"""A Dask worker, or the scheduler, that is killed while jobs run: results, or one clear error, and no hang."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

from kdsnn.errors import PoolError
from kdsnn.evaluation import evaluate
from kdsnn.evaluation.on_pool import evaluate_on
from kdsnn.jobs import dask_workers as clusters
from kdsnn.jobs import local_processes as pools
from kdsnn.jobs.dask_workers import dask_pool
from kdsnn.jobs.local_processes import Pool, completed, result_of
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import example_networks, random_images

ROOT = Path(__file__).parents[2]  # from where the workers find the jobs
PATIENCE_S = 120.0


@contextmanager
def process(folder: Path, *command: object) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A process of Dask's command line, and its log."""
    log = folder / f"{command[0]}.log"
    with log.open("wb") as file:
        there = {**os.environ, "OMP_NUM_THREADS": "1"}
        made = [sys.executable, "-m", "distributed.cli.dask_" + str(command[0]), *map(str, command[1:])]
        running = subprocess.Popen(made, stdout=file, stderr=file, cwd=ROOT, env=there)
    try:
        yield running, log
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The address of a scheduler with two workers, and its process."""
    with process(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard") as (scheduler, log):
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        address = found[1]
        options = (
            "--nthreads",
            1,
            "--nworkers",
            2,
            "--memory-limit",
            0,
            "--no-dashboard",
            "--local-directory",
            tmp_path,
        )
        with process(tmp_path, "worker", address, *options):
            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=PATIENCE_S)
            yield address, scheduler


def at_work(folder: Path, number: int) -> int:
    """Leaves its process's id, and takes its time."""
    mark = folder / f"{number}.{os.getpid()}"
    mark.touch()
    time.sleep(1.0)
    return number * number


def all_results(pool: Pool, jobs: list["Future[int]"]) -> list[int]:
    return sorted(result_of(job) for job in completed(pool, jobs))


def begun(folder: Path) -> list[int]:
    """Processes that began a job."""
    return sorted({int(mark.suffix[1:]) for mark in folder.iterdir()})


def wait_for_two(folder: Path) -> list[int]:
    deadline = time.monotonic() + PATIENCE_S
    while len(found := begun(folder)) < 2:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_the_jobs_of_a_killed_worker_are_done_by_others(
    cluster: tuple[str, "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with dask_pool(cluster[0]) as pool:
        jobs = [pool.submit(at_work, marks, number) for number in range(6)]
        os.kill(wait_for_two(marks)[0], signal.SIGKILL)
        results = all_results(pool, jobs)
        network = example_networks()[0]
        images = random_images(network, 5)
        there = evaluate_on(pool, network, ReferenceTarget(), images)
    assert results == [number * number for number in range(6)]
    assert len(list(marks.iterdir())) > 6  # what was lost with it was begun anew
    here = evaluate(network, ReferenceTarget(), images)
    assert there.counts == here.counts
    np.testing.assert_array_equal(there.output_spikes, here.output_spikes)


def test_a_killed_scheduler_is_one_clear_error(
    cluster: tuple[str, "subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "LOST_S", 2.0)
    monkeypatch.setattr(pools, "POLL_S", 0.5)
    marks = tmp_path / "marks"
    marks.mkdir()
    address, scheduler = cluster
    with dask_pool(address) as pool:
        jobs = [pool.submit(at_work, marks, number) for number in range(60)]
        wait_for_two(marks)
        scheduler.kill()
        begin = time.monotonic()
        with pytest.raises(PoolError, match=r"was lost|no workers left|gave a job up|a process died") as raised:
            all_results(pool, jobs)
    print(raised.value, time.monotonic() - begin)  # noqa: T201
    assert time.monotonic() - begin < PATIENCE_S
