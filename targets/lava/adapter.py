"""The Lava target: real lava-nc, in its own interpreter, that runs the integer network and counts what it does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from kdsnn.errors import TargetUnavailableError, UsageError
from kdsnn.network import Network
from kdsnn.network.counters import Counts, Tally, counts_of
from kdsnn.network.features import (
    CLIPPING,
    CURRENT,
    GRADED_INPUT,
    INPUT_IN_TIME,
    LEAK,
    MEMBRANE_READOUT,
    RECURRENCE,
    SUBTRACT_RESET,
)
from kdsnn.targets.base import Availability, Computed, Files, Program, Progress, Target, Teacher, Violation
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.lava.bundle import write_bundle
from kdsnn.targets.lava.environment import LAVA
from kdsnn.targets.lava.job import write_job
from kdsnn.targets.lava.limits import violations
from kdsnn.targets.lava.shards import lane_count, shares
from kdsnn.targets.processes.environments import Environment, probe, require, worker_variables
from kdsnn.targets.processes.folders import job_folder
from kdsnn.targets.processes.results import load_array, read_answer
from kdsnn.targets.processes.supervisor import Kind, run_workers

if TYPE_CHECKING:
    from kdsnn.targets.lava.worker.lava_job import Result

__all__ = ["LavaProgram", "LavaTarget"]

WORKER = Path(__file__).with_name("worker") / "main.py"
# Figures of the workers' results: the most of any worker, and the sums over all of them.
Slowest = Literal["setup_s", "run_s", "steps", "fill_steps", "lanes", "peak_process_mib"]
Together = Literal["cpu_s", "processes", "memory_mib"]


@dataclass(frozen=True)
class _Part:
    """What one worker left: spikes and potentials of its images, counts, and the figures of `result.json`."""

    spikes: Mapping[str, npt.NDArray[np.uint8]]
    potentials: npt.NDArray[np.int32] | None
    counts: Counts
    answer: Result


class LavaTarget(Target):
    """lava-nc's fixed-point models, the simulation of Loihi 2.

    Args:
        stock: whether Lava's own process models compute, which are exact too and far slower. They reset to zero, and
            let no population feed itself.
        workers: simulations that run at once, each with a share of the images.
        lanes: images that run side by side in one simulation; 0 leaves it to the size of the network. The stock models
            take one.

    Raises:
        UsageError: workers is not positive, or lanes is negative.
    """

    name = "lava"
    description = "lava-nc, fixed-point models, in a Python 3.10 of its own"
    features = frozenset(
        {LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, CLIPPING, INPUT_IN_TIME, SUBTRACT_RESET, RECURRENCE}
    )

    def __init__(self, *, stock: bool = False, workers: int = 1, lanes: int = 0) -> None:
        if workers < 1:
            raise UsageError(f"workers must be at least 1, not {workers}")
        if lanes < 0:
            raise UsageError(f"lanes must be 0, which chooses, or more, not {lanes}")
        self.stock = stock
        self.workers = workers
        self.lanes = 1 if stock else lanes

    def probe(self) -> Availability:
        """Whether the environment is set up. Makes nothing."""
        return probe(LAVA)

    def check(self, network: Network) -> list[Violation]:
        """All limits of Lava, or of its stock models, that the network exceeds."""
        return violations(network, stock=self.stock)

    def compile(self, network: Network) -> LavaProgram:
        """The network with the environment that runs it.

        Raises:
            DoesNotFitError: it exceeds a limit.
            TargetUnavailableError: the environment is not set up.
        """
        ensure_runnable(self, network)
        return LavaProgram(network, require(LAVA), stock=self.stock, workers=self.workers, lanes=self.lanes)

    def write_files(
        self,
        network: Network,
        images: npt.NDArray[np.uint8],
        folder: Path,
        teacher: Teacher | None,  # noqa: ARG002
    ) -> Files:
        """Writes what runs the network on any Python 3.10 with lava-nc, without kdsnn."""
        return Files(write_bundle(network, images, folder))


class LavaProgram(Program):
    """A network on Lava. Each run starts the workers anew, and each streams its share of the images through it."""

    def __init__(
        self, network: Network, environment: Environment, *, stock: bool = False, workers: int = 1, lanes: int = 0
    ) -> None:
        super().__init__(network)
        self.environment = environment
        self.stock = stock
        self.workers = workers
        self.lanes = lanes

    def compute(
        self,
        images: npt.NDArray[np.uint8],
        recorded: Sequence[str],
        time_limit_s: float | None,
        progress: Progress | None,
    ) -> Computed:
        """Streams each worker's share of the images; without a time limit, 600 s without a step end a run."""
        network = self.network
        shards = [images[share] for share in shares(len(images), self.workers)]
        lanes = [lane_count(network, len(shard), self.lanes) for shard in shards]
        with ExitStack() as stack:
            folders = [stack.enter_context(job_folder("kdsnn-lava-")) for _ in shards]
            for folder, shard, count in zip(folders, shards, lanes, strict=True):
                try:
                    write_job(folder, network, shard, list(recorded), stock=self.stock, lanes=count, parent=os.getpid())
                except OSError as error:
                    raise TargetUnavailableError(f"the job for Lava cannot be written to {folder}: {error}") from error
            report = _images_done(network, [len(shard) for shard in shards], lanes, progress)
            run_workers(_workers(self.environment), folders, time_limit_s=time_limit_s, progress=report)
            parts = [_read_result(f, network, len(s), recorded) for f, s in zip(folders, shards, strict=True)]
        return _joined(parts)


def _workers(environment: Environment) -> Kind:
    command = [str(environment.python), "-B", "-s", "-X", "faulthandler", str(WORKER)]
    return Kind("Lava", command, worker_variables(), "time step", _step)


def _step(job: Path) -> int:
    return int(np.load(job / "progress.npy", allow_pickle=False)[0])


def _images_done(
    network: Network, samples: list[int], lanes: list[int], progress: Progress | None
) -> Callable[[list[int]], None] | None:
    """From the time step that each worker's output reached to the number of images that are through."""
    if progress is None:
        return None
    depth, told = network.depths[network.output.name], 0

    def report(steps: list[int]) -> None:
        nonlocal told
        rounds = [max(0, step - depth) // network.timesteps for step in steps]
        done = sum(min(n, r * b) for n, r, b in zip(samples, rounds, lanes, strict=True))
        if done > told:
            told = done
            progress(done)

    return report


def _joined(parts: list[_Part]) -> Computed:
    """The shares of all workers, in the order of the images."""
    read = [part.potentials for part in parts if part.potentials is not None]
    counts = parts[0].counts
    for part in parts[1:]:
        counts += part.counts
    answers = [part.answer for part in parts]
    slowest: tuple[Slowest, ...] = get_args(Slowest)
    together: tuple[Together, ...] = get_args(Together)
    notes: dict[str, float] = {name: float(max(a[name] for a in answers)) for name in slowest}
    notes |= {name: float(sum(a[name] for a in answers)) for name in together}
    return Computed(
        spikes={name: np.concatenate([part.spikes[name] for part in parts]) for name in parts[0].spikes},
        counts=counts,
        potentials=np.concatenate(read) if read else None,
        versions=answers[0]["versions"],
        notes=notes | {"workers": float(len(parts))},
    )


def _read_result(folder: Path, network: Network, samples: int, names: Sequence[str]) -> _Part:
    answer = cast("Result", read_answer(folder, network, "Lava"))
    steps = samples * network.timesteps
    spikes = {}
    for index, population in enumerate(network.populations):
        if population.name in names:
            train = load_array(folder / f"spikes.{index}.npy", (steps, *population.shape), np.uint8, "Lava")
            spikes[population.name] = train.reshape(samples, network.timesteps, *population.shape)
    potentials = None
    if network.readout == "membrane":
        potentials = load_array(folder / "potentials.npy", (samples, *network.output.shape), np.int32, "Lava")
    steps = -(-samples // answer["lanes"]) * network.timesteps
    return _Part(spikes, potentials, _counts(folder, network, samples, steps), answer)


def _counts(folder: Path, network: Network, samples: int, steps: int) -> Counts:
    """What the processes counted while they ran, summed over the steps."""
    events = {
        projection.name: load_array(folder / f"events.{j}.npy", (steps, 4), np.int64, "Lava").sum(axis=0)
        for j, projection in enumerate(network.projections)
    }
    tallies = {}
    for index, population in enumerate(network.populations[1:], start=1):
        spikes, updates = load_array(folder / f"tally.{index}.npy", (steps, 2), np.int64, "Lava").sum(axis=0)
        dense, effective, macs, macs_effective = sum(events[p.name] for p in network.incoming(population.name)).tolist()
        tallies[population.name] = Tally(int(spikes), dense, effective, macs, macs_effective, int(updates))
    return counts_of(network, tallies, samples)
