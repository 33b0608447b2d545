"""The folder of a job, written: what the jobs of all workers have, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kdsnn.files.arrays import write_array
from kdsnn.files.writing import write_json
from kdsnn.network import Network, Neuron, Population, Projection
from kdsnn.network.counters import input_messages

if TYPE_CHECKING:
    from kdsnn.targets.processes.worker.script_job import JobHead, SomeCells, SomeSynapses

__all__ = ["cells_of", "head_of", "messages_of", "synapses_of", "write_files"]


def write_files(folder: Path, job: Mapping[str, object], arrays: Mapping[str, npt.NDArray[Any]]) -> list[Path]:
    """Writes arrays by the names of their files, then `job.json`; all files, that one first."""
    for name, array in arrays.items():
        write_array(folder / name, array, synced=False)
    write_json(folder / "job.json", job, synced=False)
    return [folder / name for name in ("job.json", *arrays)]


def head_of(target: str, network: Network, samples: int, parent: int) -> JobHead:
    """How the job of a script begins, for the target of that name."""
    return {
        "schema": f"kdsnn.{target}-job/1",
        "fingerprint": network.fingerprint(),
        "parent": parent,
        "timesteps": network.timesteps,
        "samples": samples,
    }


def cells_of(population: Population, network: Network, recorded: list[str]) -> SomeCells:
    """A population, but for what each script has of its own."""
    cells: SomeCells = {"neurons": population.neurons, "depth": network.depths[population.name]}
    model = population.model
    if isinstance(model, Neuron):
        cells |= {"record": population.name in recorded, "threshold": int(model.threshold), "fires": model.fires}
    return cells


def synapses_of(projection: Projection, network: Network) -> SomeSynapses:
    """A projection, but for what each script has of its own."""
    names = [p.name for p in network.populations]
    source, target = names.index(projection.source), names.index(projection.target)
    return {"source": source, "target": target, "graded": network.graded(projection)}


def messages_of(network: Network, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What the input sends, `(N, T, *shape)`; T is 1 where each step sends the same."""
    messages = input_messages(network, images)
    return messages[:, :1] if network.static else messages
