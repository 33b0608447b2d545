"""The job that the worker runs: a folder with `job.json` and the arrays of a network, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from kdsnn.network import Conv2d, Network, Neuron, Population
from kdsnn.targets.placement.synapses import synapses
from kdsnn.targets.processes.jobs import cells_of, head_of, messages_of, synapses_of, write_files

if TYPE_CHECKING:
    from kdsnn.targets.nengo_loihi.worker.nengo_job import Job, JobPopulation

__all__ = ["write_job"]


def write_job(
    folder: Path, network: Network, images: npt.NDArray[np.uint8], recorded: list[str], *, lanes: int, parent: int
) -> None:
    """Writes a job for the worker.

    Args:
        folder: exists.
        network: fits the emulator.
        images: `(N, *image_shape)` uint8.
        recorded: populations whose spikes to keep.
        lanes: images side by side.
        parent: process that the worker shall not outlive.
    """
    job: Job = {
        **head_of("nengo-loihi", network, len(images), parent),
        "lanes": lanes,
        "populations": [_population(p, network, recorded) for p in network.populations],
        "projections": [{**synapses_of(p, network), "indexed": isinstance(p.op, Conv2d)} for p in network.projections],
    }
    messages = messages_of(network, images)
    arrays: dict[str, npt.NDArray[Any]] = {"messages.npy": messages.reshape(*messages.shape[:2], -1)}
    for i, population in enumerate(network.populations):
        if isinstance(population.model, Neuron):
            arrays[f"bias.{i}.npy"] = population.model.bias.astype(np.int32) << population.model.bias_exponent
    for j, projection in enumerate(network.projections):
        stored = synapses(projection, network.population(projection.source).shape)
        arrays[f"synapses.{j}.npy"] = stored.astype(np.int32)
    write_files(folder, job, arrays)


def _population(population: Population, network: Network, recorded: list[str]) -> JobPopulation:
    record = cast("JobPopulation", {**cells_of(population, network, recorded)})
    model = population.model
    if isinstance(model, Neuron):
        record |= {"decay_u": int(model.decay_u), "decay_v": int(model.decay_v)}
    return record
