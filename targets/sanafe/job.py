"""The job that the worker runs: a folder with `job.json`, the chip and the arrays of a network, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from kdsnn.files.writing import write_atomic
from kdsnn.network import DECAY_UNITY, MEMBRANE_SHIFT, Network, Neuron, Population
from kdsnn.network.linear_maps import apply
from kdsnn.targets.placement.synapses import synapses
from kdsnn.targets.processes.jobs import cells_of, head_of, messages_of, synapses_of, write_files
from kdsnn.targets.sanafe.architecture import DENDRITE, PORT, SOMA, SYNAPSE, Constants, architecture
from kdsnn.targets.sanafe.mapping import Mapping

if TYPE_CHECKING:
    from kdsnn.targets.sanafe.worker.sanafe_job import Job, JobPopulation

__all__ = ["write_job"]


def write_job(
    folder: Path,
    network: Network,
    images: npt.NDArray[np.uint8],
    recorded: list[str],
    *,
    constants: Constants,
    mapping: Mapping,
    timing: str,
    parent: int,
) -> None:
    """Writes a job for the worker.

    Args:
        folder: exists.
        network: fits the chip.
        images: `(N, *image_shape)` uint8.
        recorded: populations whose spikes to keep.
        constants: of the chip.
        mapping: of the network onto it.
        timing: SANA-FE's model of the mesh's timing.
        parent: process that the worker shall not outlive.
    """
    job: Job = {
        **head_of("sanafe", network, len(images), parent),
        "timing": timing,
        "units": {"synapse": SYNAPSE, "dendrite": DENDRITE, "soma": SOMA, "port": PORT},
        "populations": [_population(p, network, recorded) for p in network.populations],
        "projections": [synapses_of(p, network) for p in network.projections],
    }
    messages = messages_of(network, images)
    arrays: dict[str, npt.NDArray[Any]] = {"messages.npy": (messages > 0).reshape(*messages.shape[:2], -1)}
    for i, (population, cores) in enumerate(zip(network.populations, mapping.cores, strict=True)):
        arrays[f"core.{i}.npy"] = cores
        if isinstance(population.model, Neuron):
            arrays[f"bias.{i}.npy"] = population.model.bias.astype(np.int64) << population.model.bias_exponent
            arrays[f"drive.{i}.npy"] = _drive(network, population, messages)
    for j, projection in enumerate(network.projections):
        arrays[f"synapses.{j}.npy"] = synapses(projection, network.population(projection.source).shape)
    chip = architecture(constants, used=mapping.used, ports=mapping.ports)
    write_atomic(folder / "chip.yaml", chip.encode(), synced=False)
    write_files(folder, job, arrays)


def _population(population: Population, network: Network, recorded: list[str]) -> JobPopulation:
    record = cast("JobPopulation", {**cells_of(population, network, recorded)})
    model = population.model
    if isinstance(model, Neuron):
        record |= {"keep_u": DECAY_UNITY - int(model.decay_u), "keep_v": DECAY_UNITY - int(model.decay_v)}
        record["reset_mode"], record["reset_by"] = _reset(model)
    return record


def _reset(neuron: Neuron) -> tuple[str, int | None]:
    """SANA-FE's name for what a spike takes from the potential, and what the worker is to take, if any."""
    if neuron.reset_by is None:
        return "hard", None
    if neuron.reset_by == int(neuron.threshold) << MEMBRANE_SHIFT:
        return "soft", None
    return "none", int(neuron.reset_by) or None


def _drive(network: Network, population: Population, messages: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """What grey levels bring to each neuron, `(N, T, neurons)`, 64 to a weight unit; it enters the current.

    SANA-FE's spikes cannot carry them: they weigh nothing there.
    T is 1 where each step of an image brings the same, and N, too, is 1 where no grey levels arrive.
    """
    graded = [p for p in network.incoming(population.name) if network.graded(p)]
    if not graded:
        return np.zeros((1, 1, population.neurons), dtype=np.int32)
    drive = np.zeros((*messages.shape[:2], population.neurons), dtype=np.int32)
    for projection in graded:
        for image, frames in zip(drive, messages, strict=True):  # one at a time: the sums are wide
            sums = apply(projection.op, frames.astype(np.int64)) << projection.exponent + MEMBRANE_SHIFT
            np.add(image, sums.reshape(image.shape), out=image, casting="unsafe")  # 24 bits: the network's proof
    return drive
