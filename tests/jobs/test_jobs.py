"""The same results from any pool, and one clear line where a pool cannot be used."""

import os
import pickle
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from kdsnn.errors import InputError, LockedError, MissingExtraError, PoolError, TimedOutError, UsageError
from kdsnn.evaluation import Curve, Evaluation, evaluate, on_targets
from kdsnn.evaluation.on_pool import evaluate_on
from kdsnn.jobs import dask_workers as clusters
from kdsnn.jobs import local_processes as pools
from kdsnn.jobs.dask_workers import Terms, check_terms, dask_pool, run_job
from kdsnn.jobs.local_processes import Pool, completed, local_pool, result_of
from kdsnn.network import Network
from kdsnn.paper.runner import run_rows
from kdsnn.paper.runs import collect, select_rows
from kdsnn.paper.smoke import SMOKE, smoke_data
from kdsnn.run_folders import lock
from kdsnn.targets.base import Target
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.targets.registry import load_target
from kdsnn.testing import example_networks, random_images


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """The address of a Dask scheduler with workers that are processes; Dask sets variables of threads here for them."""
    from distributed import LocalCluster

    before = dict(os.environ)
    try:
        with LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0") as made:
            yield made.scheduler_address
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Dask scheduler with two workers, each a process of its own."""
    with local_cluster(2) as address:
        yield address


@pytest.fixture(scope="module")
def idle() -> Iterator[str]:
    """The address of a Dask scheduler without workers."""
    with local_cluster(0) as address:
        yield address


def assert_same(one: Evaluation, other: Evaluation) -> None:
    assert one.counts == other.counts
    assert (one.fingerprint, one.compared, one.accuracy) == (other.fingerprint, other.compared, other.accuracy)
    arrays, others = one.arrays(), other.arrays()
    assert set(arrays) == set(others)
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        assert np.array_equal(array, others[name]), name


@pytest.mark.parametrize("target", [ReferenceTarget(), GpuTarget("cpu")], ids=lambda target: target.name)
@pytest.mark.parametrize("network", [example_networks()[i] for i in (0, 7, 14)], ids=lambda network: network.name)
def test_an_evaluation_on_a_pool_is_the_one_without(cluster: str, target: Target, network: Network) -> None:
    images = random_images(network, 11)
    labels = np.arange(11) % len(network.labels)
    done: list[int] = []
    with dask_pool(cluster) as pool:
        assert pool.workers == 2
        there = evaluate_on(pool, network, target, images, labels, curve=Curve(), progress=done.append)
    here = evaluate(network, target, images, labels, curve=Curve())
    assert_same(there, here)
    assert there.as_json()["in_time"] == here.as_json()["in_time"]
    assert done[-1] == 11
    assert sorted(np.diff([0, *done])) == [5, 6]


def test_a_pool_of_any_executor_evaluates_in_chunks_that_the_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = example_networks()[0], random_images(example_networks()[0], 7)
    alone = evaluate(network, ReferenceTarget(), images)
    monkeypatch.setattr(on_targets, "MOST_SPIKES", 3 * network.timesteps * sum(p.neurons for p in network.spiking))
    done: list[int] = []
    with ThreadPoolExecutor(2) as threads:
        pooled = evaluate_on(Pool(threads, 2), network, ReferenceTarget(), images, progress=done.append)
    assert_same(pooled, alone)
    assert sorted(np.diff([0, *done])) == [1, 2, 2, 2]  # three hold at once, and two rounds of two are as even


def test_lava_on_a_pool_is_not_needed_here(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setup_environment()
    monkeypatch.setattr("kdsnn.targets.processes.environments.find", lambda _: None)
    network, images = example_networks()[0], random_images(example_networks()[0], 6)
    with dask_pool(cluster) as pool:
        there = evaluate_on(pool, network, load_target("lava"), images)
    assert_same(there, evaluate(network, GpuTarget("cpu"), images))
    assert there.target == "lava"
    assert there.notes["workers"] == 1


def test_a_row_is_trained_on_a_pool(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, told = select_rows("table1", ["mnist5k-2conv"]), list[str]()
    with smoke_data():
        run_rows(rows, SMOKE, scheduler=cluster, tell=told.append)
        (result,) = collect(rows, SMOKE)
        assert not list(Path(os.environ["KDSNN_RUNS"]).glob(".pool-*"))
    assert None not in (result.ours.teacher, result.ours.alone, result.ours.distilled)
    assert sorted(line.split(":")[0] for line in told)[:2] == ["student mnist5k-2conv", "student mnist5k-2conv-alone"]


def test_errors_of_jobs_are_those_of_the_job(cluster: str) -> None:
    network = example_networks()[0]
    images = random_images(network, 4)
    with dask_pool(cluster) as pool:
        with pytest.raises(TimedOutError, match="passed its limit of 0"):
            evaluate_on(pool, network, ReferenceTarget(), images, time_limit_s=0.0)
        with pytest.raises(InputError, match=rf"no run 'nothing' \(on {socket.gethostname()}\)"):
            result_of(pool.submit(pickle.loads, pickle.dumps(_Raises(InputError("there is no run 'nothing'")))))
        with pytest.raises(MissingExtraError, match="kdsnn\\[dask\\]"):
            result_of(pool.submit(pickle.loads, pickle.dumps(_Raises(MissingExtraError("Dask", "dask")))))
        with pytest.raises(PoolError, match="a worker cannot load what a job needs"):
            result_of(pool.submit(pickle.loads, b"cnowhere\nnothing\n."))


class _Raises:
    """Raises an error where it is unpickled."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> tuple[object, ...]:
        return _raise, (self.error,)


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("address", ["host:8786", "8786", "smoke://host:8786", "tcp://host"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a pool"), dask_pool(address):
        pass


def test_a_scheduler_without_workers(idle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_S", 1.0)
    with pytest.raises(PoolError, match="has no workers") as raised, dask_pool(idle):
        pass
    assert raised.value.hint == f"start some with: dask worker {idle} --nthreads 1"


def test_workers_that_are_gone(idle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Client

    monkeypatch.setattr(clusters, "LOST_S", 0.2)
    with Client(idle, set_as_default=False) as client, pytest.raises(PoolError, match="has no workers left"):
        clusters._check_alive(client, idle)


def test_another_version_on_the_workers(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = clusters.__version__
    monkeypatch.setattr(clusters, "__version__", "9.9")
    with pytest.raises(PoolError, match="have another version of kdsnn") as raised, dask_pool(cluster):
        pass
    assert [problem.split(": ")[1] for problem in raised.value.problems] == [f"has {here}, not 9.9"] * 2


def test_a_runs_folder_that_the_workers_do_not_see(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_token", lambda folder: nullcontext(folder / ".pool-elsewhere"))
    rows = select_rows("table1", ["mnist5k-2conv"])
    with pytest.raises(PoolError, match="cannot work on the runs of this machine") as raised:
        run_rows(rows, scheduler=cluster)
    assert all("it does not see" in problem for problem in raised.value.problems)


def test_a_runs_folder_that_cannot_be_made(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), dask_pool(cluster, shared=tmp_path / "file" / "runs"):
        pass


def test_a_worker_that_takes_several_jobs_at_a_time() -> None:
    class Client:
        """What Dask answers where a worker was started without --nthreads 1."""

        def wait_for_workers(self, n_workers: int, timeout: float) -> None:
            pass

        def run(self, function: object, *arguments: object, on_error: str) -> dict[str, object]:
            return {"tcp://a:1": clusters.__version__, "tcp://a:2": clusters.__version__}

        def nthreads(self) -> dict[str, int]:
            return {"tcp://a:1": 1, "tcp://a:2": 8}

    with pytest.raises(PoolError, match="several jobs at a time") as raised:
        clusters._check_workers(Client(), "tcp://a:0", Terms(clusters.__version__))
    assert raised.value.problems == ("tcp://a:2: has 8 threads",)
    assert "--nthreads 1" in raised.value.hint


def test_a_worker_that_joins_later_must_meet_the_terms(tmp_path: Path) -> None:
    check_terms(Terms(clusters.__version__))
    with pytest.raises(PoolError, match=r"it has kdsnn .*, not 9\.9"):
        check_terms(Terms("9.9"))
    with pytest.raises(PoolError, match="does not see"):
        check_terms(Terms(clusters.__version__, tmp_path / "runs" / ".pool-x"))


def test_a_run_that_a_dying_worker_still_holds_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train() -> str:
        with lock(tmp_path):
            return "trained"

    holder = lock(tmp_path)
    holder.__enter__()
    monkeypatch.setattr(clusters, "RELEASE_S", 0.3)
    with pytest.raises(LockedError, match="another process is working on"):
        run_job(Terms(clusters.__version__), train)
    monkeypatch.setattr(clusters, "RELEASE_S", 30.0)
    release = threading.Timer(0.2, holder.__exit__, (None, None, None))
    release.start()
    assert run_job(Terms(clusters.__version__), train) == "trained"
    release.join()


def test_a_pool_that_is_lost_or_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "POLL_S", 0.01)

    def lost() -> None:
        raise PoolError("no workers left")

    never: Future[str] = Future()
    with pytest.raises(PoolError, match="no workers left"):
        list(completed(Pool(Executor(), 1, check=lost), [never]))
    with pytest.raises(TimedOutError, match=r"limit of 0\.05 s with 1 jobs to go"):
        list(completed(Pool(Executor(), 1), [never], time_limit_s=0.05))
    never.cancel()
    with pytest.raises(PoolError, match="no workers left"):
        list(completed(Pool(Executor(), 1, check=lost), [never]))
    with pytest.raises(PoolError, match="a process died"):
        result_of(never)


def test_what_has_not_begun_is_dropped_when_the_command_is_stopped(cluster: str, tmp_path: Path) -> None:
    def stopped() -> None:
        with dask_pool(cluster) as pool:
            next(completed(pool, [pool.submit(_mark, tmp_path / str(number)) for number in range(6)]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with dask_pool(cluster) as pool:  # after those that had begun
        assert result_of(pool.submit(os.getpid)) != os.getpid()
    assert 1 <= len(list(tmp_path.glob("[0-9]"))) < 6


def _mark(path: Path) -> None:
    time.sleep(0.3)
    path.touch()


def test_a_target_that_cannot_be_sent(cluster: str) -> None:
    target = ReferenceTarget()
    target.lock = threading.Lock()  # type: ignore[attr-defined]
    network = example_networks()[0]
    with dask_pool(cluster) as pool, pytest.raises(UsageError, match="cannot be sent to a pool"):
        evaluate_on(pool, network, target, random_images(network, 2))


def blas_threads() -> list[int]:
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_processes_of_this_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools.os, "cpu_count", lambda: 6)
    for workers, threads in ((2, 3), (4, 1)):
        with local_pool(workers) as pool:
            assert result_of(pool.submit(torch.get_num_threads)) == threads
            assert set(result_of(pool.submit(blas_threads))) == {threads}


def _at_work(path: Path) -> None:
    path.write_text("begun")
    try:
        time.sleep(0.01)
        while True:
            time.sleep(0.01)
    finally:
        path.write_text("tidied up")


def test_an_interruption_ends_what_runs_on_a_pool(cluster: str, tmp_path: Path) -> None:
    for number, make in enumerate((lambda: dask_pool(cluster), lambda: local_pool(2))):
        files = [tmp_path / f"{number}.{i}" for i in range(3)]

        def stopped(make=make, files=files) -> None:
            with make() as pool:
                for file in files:
                    pool.submit(_at_work, file)
                while sum(file.exists() for file in files) < 2:
                    time.sleep(0.01)
                raise KeyboardInterrupt

        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            stopped()
        while any(file.read_text() != "tidied up" for file in files if file.exists()):
            assert time.monotonic() - began < 60, "it still runs"
            time.sleep(0.05)
        assert sum(file.exists() for file in files) == 2, "one that had not begun did"
    with dask_pool(cluster) as pool:  # whose workers take other jobs
        assert result_of(pool.submit(os.getpid)) != os.getpid()


def test_a_pool_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/paper.md says it: Dask's settings name the certificates, here one that is signed by itself."""
    import dask
    from distributed import LocalCluster, Security

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=kdsnn"]
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    tls = {"distributed.comm.tls.ca-file": str(certificate), "distributed.comm.require-encryption": True}
    for side in ("client", "scheduler", "worker"):
        tls |= {f"distributed.comm.tls.{side}.cert": str(certificate), f"distributed.comm.tls.{side}.key": str(key)}
    network = example_networks()[0]
    images = random_images(network, 5)
    before = dict(os.environ)
    with dask.config.set(tls):
        security = Security()
        with LocalCluster(
            n_workers=1, threads_per_worker=1, protocol="tls://", security=security, dashboard_address=":0"
        ) as there:
            assert there.scheduler_address.startswith("tls://")
            with dask_pool(there.scheduler_address) as pool:
                found = evaluate_on(pool, network, ReferenceTarget(), images)
            monkeypatch.setattr(clusters, "CONNECT_S", 2.0)
            with (
                dask.config.set({"distributed.comm.tls.ca-file": None}),
                pytest.raises((PoolError, UsageError)),
                dask_pool(there.scheduler_address),
            ):
                pass  # who has no certificate is not let in
    os.environ.clear()
    os.environ.update(before)
    assert_same(found, evaluate(network, ReferenceTarget(), images))
