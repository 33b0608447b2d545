"""Workers that are killed in the middle of a run: no image is lost, none counts twice, and no spike differs."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
from lava_networks import everything, images

from kdsnn.targets.base import RunResult
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.processes.supervisor import MOST_REPEATS
from kdsnn.targets.reference import ReferenceTarget

NETWORK = everything(timesteps=4, bits=4)
WORKERS = 2
SEED = 15


class Killer:
    """A progress callback that kills workers in turn, or a process of them, at random moments before any is done.

    Args:
        samples: of the run.
        kills: how many.
        seed: of the moments, and of who is killed.
    """

    def __init__(self, samples: int, kills: int, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.moments = sorted(self.random.sample(range(1, samples // WORKERS), kills))
        self.ended: list[int] = []
        self.killed: list[Path] = []

    def __call__(self, done: int) -> None:
        if not self.moments or done < self.moments[0]:
            return
        victims = [
            (pid, job) for pid, job in lava_workers() if pid not in self.ended and self.killed.count(job) < MOST_REPEATS
        ]
        if not victims:
            return  # those that were killed are not begun anew yet
        pid, job = min(victims, key=lambda victim: self.killed.count(victim[1]))
        processes = children(pid)
        os.kill(self.random.choice([pid, *processes[len(processes) // 2 :][:1]]), signal.SIGKILL)
        self.ended.append(pid)
        self.killed.append(job)
        self.moments.pop(0)


def lava_workers() -> list[tuple[int, Path]]:
    """The workers that this process started, and the folders of their jobs, in the order of these."""
    found = []
    for pid in children(os.getpid()):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if len(command) > 2 and b"kdsnn-lava-" in command[-2]:
            found.append((pid, Path(os.fsdecode(command[-2]))))
    return sorted(found, key=lambda worker: worker[1])


def children(parent: int) -> list[int]:
    return sorted(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


def assert_whole(found: RunResult, wanted: RunResult, samples: int) -> None:
    assert len(found.predictions) == samples
    assert found.counts == wanted.counts  # of which an image that ran twice, or never, would be a part
    assert found.spikes.keys() == wanted.spikes.keys()
    for name, train in found.spikes.items():
        np.testing.assert_array_equal(train, wanted.spikes[name])


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("samples", "kills"), [(60, 1), pytest.param(1000, 5, marks=pytest.mark.long)], ids=["60-1", "1000-5"]
)
def test_no_image_is_lost_and_none_repeated(samples: int, kills: int) -> None:
    batch = images(NETWORK, samples, seed=SEED)
    assert len({image.tobytes() for image in batch}) == samples
    killer = Killer(samples, kills, SEED)
    program = LavaTarget(workers=WORKERS, lanes=1).compile(NETWORK)
    found = program.run(batch, record="all", progress=killer, time_limit_s=600)
    assert len(killer.killed) == kills
    assert found.notes["killed_workers"] == kills
    assert_whole(found, ReferenceTarget().compile(NETWORK).run(batch, record="all"), samples)
    if kills > 1:
        undisturbed = program.run(batch, record="all", time_limit_s=600)
        assert "killed_workers" not in undisturbed.notes
        assert_whole(found, undisturbed, samples)


def test_the_other_workers_go_on() -> None:
    before: list[tuple[int, Path]] = []
    after: list[tuple[int, Path]] = []

    def kill_the_first(_: int) -> None:
        if not before:
            before.extend(lava_workers())
            os.kill(before[0][0], signal.SIGKILL)
        elif not after and len(there := lava_workers()) == WORKERS and there != before:
            after.extend(there)

    batch = images(NETWORK, 400)
    LavaTarget(workers=WORKERS, lanes=1).compile(NETWORK).run(batch, progress=kill_the_first, time_limit_s=600)
    assert after, "it was not begun anew while the other ran"
    assert [job for _, job in after] == [job for _, job in before]
    assert after[0][0] != before[0][0]
    assert after[1] == before[1]
