"""Whatever happens to the worker, the caller gets one clear error soon, and no process stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from lava_networks import everything, images

from kdsnn.errors import DoesNotFitError, InputError, TargetUnavailableError, TimedOutError
from kdsnn.targets.lava import adapter
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.processes import supervisor as workers
from kdsnn.targets.reference import ReferenceTarget
from tests.faults import spoil_the_answer, wait_until

NETWORK = everything(timesteps=4, bits=4)
MANY = images(NETWORK, 20_000)  # more than any of these tests lets it finish
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  where Lava's channels live


def processes() -> dict[int, tuple[int, int, str]]:
    """Parent, process group and state of every living process here."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] != "Z":
            found[int(stat.parent.name)] = (int(fields[1]), int(fields[2]), fields[0])
    return found


def workers_of(parent: int) -> list[int]:
    """Process groups of the workers that a process started: they lead groups of their own."""
    return [pid for pid, (ppid, group, _) in processes().items() if ppid == parent and group == pid]


def members(group: int) -> list[int]:
    return [pid for pid, (_, its_group, _) in processes().items() if its_group == group]


def unused_shared_memory() -> set[str]:
    """Segments of multiprocessing that no living process has mapped."""
    mapped = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            mapped += maps.read_text()
    return {segment.name for segment in SHARED_MEMORY.glob("psm_*") if segment.name not in mapped}


@pytest.fixture(autouse=True)
def _nothing_stays_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = unused_shared_memory()
    yield
    wait_until(lambda: not workers_of(os.getpid()), "a worker is still there")
    wait_until(lambda: unused_shared_memory() <= before, "shared memory is left")
    assert not list(scratch.iterdir()), "a job folder is left"


def run(progress: Callable[[int], None] | None = None, time_limit_s: float | None = 120) -> None:
    LavaTarget().compile(NETWORK).run(MANY, progress=progress, time_limit_s=time_limit_s)


def once(action: Callable[[int], None]) -> Callable[[int], None]:
    """A progress callback that acts on the worker's group, once."""
    acted: list[int] = []

    def progress(_: int) -> None:
        if not acted:
            acted.extend(workers_of(os.getpid()))
            action(acted[0])

    return progress


def signal_a_process(group: int, number: signal.Signals) -> None:
    """Signals a process of Lava in that worker."""
    children = [pid for pid, (parent, _, _) in processes().items() if parent == group]
    of_lava = [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(sorted(of_lava)[len(of_lava) // 2], number)


def test_a_lava_process_that_crashes_ends_the_run_with_its_name() -> None:
    start = time.monotonic()
    with pytest.raises(TargetUnavailableError, match=r"Lava process '.+' was killed by SIGBUS") as caught:
        run(once(lambda group: signal_a_process(group, signal.SIGBUS)))
    assert "shared memory is full" in caught.value.hint
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("whole", [False, True], ids=["one process of it", "the worker"])
def test_a_worker_that_is_killed_each_time_is_given_up(whole: bool) -> None:
    killed: set[int] = set()

    def kill(_: int) -> None:
        for group in set(workers_of(os.getpid())) - killed:  # one that was killed may be told of once more
            killed.add(group)
            os.kill(group, signal.SIGKILL) if whole else signal_a_process(group, signal.SIGKILL)

    who = "" if whole else "Lava process '.+' was "
    with pytest.raises(TargetUnavailableError, match=rf"lost: {who}killed by SIGKILL, as 3 times before") as caught:
        run(kill)
    assert "kdsnn doctor" in caught.value.hint
    assert len(killed) == 4
    assert not any(members(group) for group in killed)


def test_a_process_of_one_worker_that_crashes_ends_the_others_too() -> None:
    groups: list[int] = []

    def crash(_: int) -> None:
        if not groups:
            groups.extend(sorted(workers_of(os.getpid())))
            signal_a_process(groups[1], signal.SIGSEGV)

    with pytest.raises(TargetUnavailableError, match=r"Lava worker \d of 3 was lost: Lava process '.+' was killed"):
        LavaTarget(workers=3).compile(NETWORK).run(MANY, progress=crash, time_limit_s=120)
    assert len(groups) == 3
    assert not any(members(group) for group in groups)


def test_one_stopped_worker_of_two_ends_both_at_the_time_limit() -> None:
    groups: list[int] = []

    def stop(_: int) -> None:
        if not groups:
            groups.extend(workers_of(os.getpid()))
            os.killpg(groups[0], signal.SIGSTOP)

    with pytest.raises(TimedOutError, match="limit of 10 s"):
        LavaTarget(workers=2).compile(NETWORK).run(MANY, progress=stop, time_limit_s=10)
    assert len(groups) == 2
    assert not any(members(group) for group in groups)


def test_a_stopped_worker_ends_at_the_time_limit() -> None:
    groups: list[int] = []

    def stop(group: int) -> None:
        groups.append(group)
        os.killpg(group, signal.SIGSTOP)

    start = time.monotonic()
    with pytest.raises(TimedOutError, match=r"limit of 8 s after \d+ time steps"):
        run(once(stop), time_limit_s=8)
    assert time.monotonic() - start < 20
    assert not members(groups[0])


def test_without_a_limit_a_run_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "STALL_LIMIT_S", 3.0)
    with pytest.raises(TimedOutError, match="no time step for 3 s"):
        run(once(lambda group: os.killpg(group, signal.SIGSTOP)), time_limit_s=None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_the_worker(error: type[BaseException]) -> None:
    groups: list[int] = []

    def interrupt(group: int) -> None:
        groups.append(group)
        raise error

    with pytest.raises(error):
        run(once(interrupt))
    assert not members(groups[0])


def test_an_exception_inside_a_lava_process_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    write = adapter.write_job

    def write_wrong_images(folder: Path, *arguments: object, **options: object) -> list[Path]:
        files = write(folder, *arguments, **options)  # type: ignore[arg-type]
        np.save(folder / "images.npy", np.zeros((4, 3), dtype=np.uint8))
        return files

    monkeypatch.setattr(adapter, "write_job", write_wrong_images)
    with pytest.raises(TargetUnavailableError, match="Lava process 'in' raised AssertionError") as caught:
        run()
    assert any("Mismatch" in line for line in caught.value.problems)


def test_a_failure_while_building_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    write = adapter.write_job

    def write_no_weights(folder: Path, *arguments: object, **options: object) -> list[Path]:
        files = write(folder, *arguments, **options)  # type: ignore[arg-type]
        (folder / "weight.0.npy").write_bytes(b"not an array")
        return files

    monkeypatch.setattr(adapter, "write_job", write_no_weights)
    with pytest.raises(TargetUnavailableError, match="the Lava worker was lost: ValueError"):
        run()


def test_a_killed_parent_leaves_no_orphans(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from lava_networks import everything, images\n"
        "from kdsnn.targets.lava.adapter import LavaTarget\n"
        "network = everything(timesteps=4, bits=4)\n"
        "run = LavaTarget().compile(network).run\n"
        "run(images(network, 20_000), progress=lambda n: print(n, flush=True))\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline(), "it made no progress"
        (group,) = workers_of(parent.pid)
        assert len(members(group)) > 10
        parent.kill()
    wait_until(lambda: not members(group), "orphans are left")
    assert not list(tmp_path.glob("kdsnn-lava-*")), "the job folder is left"


def test_paths_with_spaces_and_two_runs_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a folder, mit Ümlaut"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    batches = [images(NETWORK, 3, seed=8), images(NETWORK, 2, seed=9)]
    results = [None, None]

    def work(index: int) -> None:
        results[index] = LavaTarget().compile(NETWORK).run(batches[index])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch, result in zip(batches, results, strict=True):
        expected = ReferenceTarget().compile(NETWORK).run(batch)
        np.testing.assert_array_equal(result.spikes["out"], expected.spikes["out"])
        assert result.counts == expected.counts
    assert not list(folder.iterdir())


def test_wrong_images_are_refused_before_anything_starts() -> None:
    program = LavaTarget().compile(NETWORK)
    for wrong in (MANY[:0], MANY[:, :1], MANY[:2].astype(np.float32)):
        with pytest.raises(InputError):
            program.run(wrong)


@pytest.mark.parametrize(("file", "message"), [("result.json", "another network"), ("spikes.8.npy", "spikes.8.npy")])
def test_an_answer_that_does_not_belong_to_the_job_is_refused(
    monkeypatch: pytest.MonkeyPatch, file: str, message: str
) -> None:
    spoil_the_answer(monkeypatch, adapter, file, NETWORK)
    with pytest.raises(TargetUnavailableError, match=message):
        LavaTarget().compile(NETWORK).run(MANY[:2])


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> list[Path]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(adapter, "write_job", full)
    with pytest.raises(TargetUnavailableError, match="No space left"):
        run()


def test_a_network_that_does_not_fit_is_not_compiled() -> None:
    from test_lava_limits import with_a_shortcut

    with pytest.raises(DoesNotFitError, match="equally long"):
        LavaTarget().compile(with_a_shortcut())
