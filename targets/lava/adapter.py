"""The Lava target: real lava-nc, in its own interpreter, that runs the integer network and counts what it does."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.counters import Counts, LayerCounts, kind_of
from kdsnn.errors import DoesNotFitError, TargetUnavailableError
from kdsnn.network import Network
from kdsnn.targets.base import Availability, Progress, Record, RunResult, Violation, check_images, predict
from kdsnn.targets.batches import recorded
from kdsnn.targets.lava.bundle import write_bundle
from kdsnn.targets.lava.environment import LavaEnvironment, find_environment, setup_environment
from kdsnn.targets.lava.job import write_job
from kdsnn.targets.lava.limits import violations
from kdsnn.targets.lava.supervise import run_worker

__all__ = ["LavaProgram", "LavaTarget"]

HINT = "run: kdsnn setup lava"
Array = npt.NDArray[Any]


class LavaTarget:
    """lava-nc's fixed-point models, the simulation of Loihi 2.

    Args:
        stock_conv: whether convolutions run by Lava's own arithmetic, which is exact too and far slower.
    """

    name = "lava"
    description = "lava-nc, fixed-point models, in a Python 3.10 of its own"

    def __init__(self, *, stock_conv: bool = False) -> None:
        self.stock_conv = stock_conv

    def probe(self) -> Availability:
        """Whether the environment is set up. Makes nothing."""
        environment = find_environment()
        if environment is None:
            return Availability(False, "its Python 3.10 environment is not set up", HINT)
        return Availability(True, str(environment))

    def prepare(self, progress: Callable[[str], None] | None = None) -> None:
        """Sets up the environment where it is missing; see `setup_environment`."""
        setup_environment(progress=progress)

    def check(self, network: Network) -> list[Violation]:
        """All limits of Lava that the network exceeds."""
        return violations(network)

    def compile(self, network: Network) -> LavaProgram:
        """The network with the environment that runs it.

        Raises:
            DoesNotFitError: it exceeds a limit.
            TargetUnavailableError: the environment is not set up.
        """
        if found := violations(network):
            raise DoesNotFitError(f"network {network.name!r} does not fit Lava", problems=[str(v) for v in found])
        environment = find_environment()
        if environment is None:
            raise TargetUnavailableError("the Python 3.10 environment of Lava is not set up", hint=HINT)
        return LavaProgram(network, environment, stock_conv=self.stock_conv)

    def bundle(self, network: Network, images: npt.NDArray[np.uint8], folder: Path) -> list[Path]:
        """Writes what runs the network on any Python 3.10 with lava-nc, without kdsnn; returns the files."""
        return write_bundle(network, images, folder)


class LavaProgram:
    """A network on Lava. Each run starts the interpreter anew, and streams all images through one simulation."""

    def __init__(self, network: Network, environment: LavaEnvironment, *, stock_conv: bool = False) -> None:
        self.network = network
        self.environment = environment
        self.stock_conv = stock_conv

    def run(
        self,
        images: npt.NDArray[np.uint8],
        *,
        record: Record = "output",
        time_limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """See `kdsnn.targets.base.Program.run`. Without a time limit, a run is given up after 600 s without a step."""
        check_images(self.network, images)
        network, start = self.network, time.perf_counter()
        names = recorded(network, record)
        with tempfile.TemporaryDirectory(prefix="kdsnn-lava-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                write_job(folder, network, images, names, stock_conv=self.stock_conv, parent=os.getpid())
            except OSError as error:
                raise TargetUnavailableError(f"the job for Lava cannot be written to {folder}: {error}") from error
            report = _images_done(network, len(images), progress)
            run_worker(self.environment, folder, time_limit_s=time_limit_s, progress=report)
            return _read_result(folder, network, len(images), names, start)


def _images_done(network: Network, samples: int, progress: Progress | None) -> Callable[[int], None] | None:
    """From the time step that the output reached to the number of images that are through."""
    if progress is None:
        return None
    depth, told = network.depths[network.output.name], 0

    def report(step: int) -> None:
        nonlocal told
        done = min(samples, max(0, step - depth) // network.timesteps)
        if done > told:
            told = done
            progress(done)

    return report


def _read_result(folder: Path, network: Network, samples: int, names: list[str], start: float) -> RunResult:
    answer = json.loads((folder / "result.json").read_text())
    if answer["fingerprint"] != network.fingerprint():
        raise TargetUnavailableError("the Lava worker answered for another network")
    steps = samples * network.timesteps
    spikes = {}
    for index, population in enumerate(network.populations):
        if population.name in names:
            train = _load(folder / f"spikes.{index}.npy", (steps, *population.shape), np.uint8)
            spikes[population.name] = train.reshape(samples, network.timesteps, *population.shape)
    potentials = None
    if network.readout == "membrane":
        potentials = _load(folder / "potentials.npy", (samples, *network.output.shape), np.int32)
    return RunResult(
        target=LavaTarget.name,
        fingerprint=network.fingerprint(),
        predictions=predict(spikes[network.output.name], potentials),
        spikes=spikes,
        counts=_counts(folder, network, samples),
        wall_s=time.perf_counter() - start,
        potentials=potentials,
        versions=answer["versions"],
        notes={name: float(answer[name]) for name in ("setup_s", "run_s", "steps", "fill_steps", "processes")},
    )


def _counts(folder: Path, network: Network, samples: int) -> Counts:
    """What the processes counted while they ran, summed over the steps."""
    steps = samples * network.timesteps
    events = {
        projection.name: _load(folder / f"events.{j}.npy", (steps, 3), np.int64).sum(axis=0)
        for j, projection in enumerate(network.projections)
    }
    layers = []
    for index, population in enumerate(network.populations[1:], start=1):
        projections = network.incoming(population.name)
        spikes, updates = _load(folder / f"tally.{index}.npy", (steps, 2), np.int64).sum(axis=0)
        dense, effective, macs = sum(events[p.name] for p in projections)
        layers.append(
            LayerCounts(
                name=population.name,
                kind=kind_of(projections),
                neurons=population.neurons,
                spikes=int(spikes),
                synops_dense=int(dense),
                synops_effective=int(effective),
                input_macs=int(macs),
                neuron_updates=int(updates),
                relay=population.relay,
            )
        )
    return Counts(samples, tuple(layers))


def _load(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    array: Array = np.load(path, allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise TargetUnavailableError(f"the Lava worker left {path.name} as {array.dtype} {array.shape}, not {shape}")
    return array
