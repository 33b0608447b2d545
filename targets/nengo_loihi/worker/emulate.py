"""Runs one job on nengo-loihi's emulator, for `targets/processes/worker/run_job.py`.

In the folder it reads `job.json`, `messages.npy` (samples, T, neurons), or (samples, 1, neurons) where every step of an
image sends the same, and, for population i and projection j, `bias.<i>.npy` and `synapses.<j>.npy`. It writes

- `spikes.<i>.npy` (samples, T, neurons) uint8, where the job asks for them
- `potentials.npy` (samples, neurons) int32: of an output that never fires, after its last step of each image
- `tally.npy` (populations, 2): spikes, and neurons that were updated
- `events.npy` (projections, 4): events of spikes at synapses, and at those of nonzero weight; the same of grey levels
- `progress`: the number of images that are through
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blocks import Blocks
from cells import Cells
from events import Events
from levels import Levels
from nengo_job import Job, Result
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.probe import LoihiProbe

__all__ = ["run"]


class Strict(EmulatorInterface):  # type: ignore[misc]
    """The emulator, which ends where a value leaves its range instead of warning and going on with another."""

    strict = True


def run(folder: Path, job: Job) -> Result:
    """Builds the network and steps through all images; the figures for `result.json`."""
    start = time.perf_counter()
    blocks, messages = Blocks(folder, job), np.load(folder / "messages.npy", allow_pickle=False)
    used = blocks.utilization(job["lanes"])
    binary = not any(projection["graded"] for projection in job["projections"])
    levels = {
        index: Levels(_load(folder, "synapses", index), job, p["target"], blocks.of[p["target"]], blocks.model)
        for index, p in enumerate(job["projections"])
        if p["graded"]
    }
    probes = {index: _probes(blocks, job, index) for index in blocks.of}
    emulator = Strict(blocks.model, seed=0)
    entering: dict[int, list[Levels]] = {index: [] for index in blocks.of}
    for index, level in levels.items():
        entering[job["projections"][index]["target"]].append(level)
    cells = {
        index: Cells(emulator, block, job, index, _load(folder, "bias", index), entering[index], probes[index])
        for index, block in blocks.of.items()
    }
    events, record = Events(emulator, blocks, job), _Record(folder, job)
    begin, timesteps = time.perf_counter(), job["timesteps"]
    last = timesteps + max(each.depth for each in cells.values())
    for first in range(0, job["samples"], job["lanes"]):
        shown = messages[first : first + job["lanes"]]
        for level in levels.values():
            level.count(shown, timesteps // shown.shape[1])
        for step in range(1, last + 1):
            if binary and step <= timesteps:
                sent = shown[:, min(step, shown.shape[1]) - 1]
                blocks.entry.add_spikes(emulator.t + 1, np.flatnonzero(sent))
            for each in cells.values():
                each.prepare(step, shown)
            emulator.step()
            events.add(step)
            for each in cells.values():
                each.after(step, len(shown))
        record.add(first, len(shown), cells)
    for index, level in levels.items():
        events.counted[index, 2:] = level.macs
    record.write(cells, events.counted)
    return {
        "fingerprint": job["fingerprint"],
        "versions": {name: version(name) for name in ("nengo-loihi", "nengo", "numpy")}
        | {"python": sys.version.split()[0]},
        "setup_s": begin - start,
        "run_s": time.perf_counter() - begin,
        "steps": emulator.t,
        "lanes": job["lanes"],
        "compartments": used["compartments"],
        "in_axons": used["in_axons"],
        "out_axons": used["out_axons"],
        "synapse_bits": used["synapse_bits"],
    }


class _Record:
    """What is kept of the images."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, populations = folder, job["populations"]
        samples, steps, self.output = job["samples"], job["timesteps"], len(populations) - 1
        self.trains = {
            index: np.zeros((samples, steps, population["neurons"]), dtype=np.uint8)
            for index, population in enumerate(populations)
            if population.get("record")
        }
        read = (samples, populations[-1]["neurons"])
        self.potentials = None if populations[-1]["fires"] else np.zeros(read, dtype=np.int32)

    def add(self, first: int, images: int, cells: dict[int, Cells]) -> None:
        """Takes what the probes recorded of images."""
        for index, train in self.trains.items():
            train[first : first + images] = cells[index].read("spiked", images)
        if self.potentials is not None:
            self.potentials[first : first + images] = cells[self.output].read("voltage", images)[:, -1]
        (self.folder / "progress").write_text(str(first + images))

    def write(self, cells: dict[int, Cells], events: npt.NDArray[np.int64]) -> None:
        """Leaves everything in the folder."""
        for index, train in self.trains.items():
            np.save(self.folder / f"spikes.{index}.npy", train, allow_pickle=False)
        if self.potentials is not None:
            np.save(self.folder / "potentials.npy", self.potentials, allow_pickle=False)
        tally = np.array([(each.spikes, each.updates) for each in cells.values()], dtype=np.int64)
        np.save(self.folder / "tally.npy", tally, allow_pickle=False)
        np.save(self.folder / "events.npy", events, allow_pickle=False)


def _probes(blocks: Blocks, job: Job, index: int) -> dict[str, LoihiProbe]:
    """Probes of what is kept of a population."""
    population = job["populations"][index]
    keys = ["spiked"] * population["record"] + ["voltage"] * (not population["fires"])
    made = {key: LoihiProbe(blocks.of[index], key) for key in keys}
    for probe in made.values():
        blocks.model.add_probe(probe)
    return made


def _load(folder: Path, what: str, index: int) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(folder / f"{what}.{index}.npy", allow_pickle=False)
    return array
