"""The network as SANA-FE's neurons and synapses, loaded onto its chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sanafe
from populations import Drive, ImagePort, Loop, Population, Spiking
from sanafe_job import Job, JobPopulation

__all__ = ["build", "group_name", "logs_potential"]


def group_name(index: int) -> str:
    """SANA-FE keeps groups in the order of their names."""
    return f"p{index:05d}"


def build(folder: Path, job: Job) -> tuple[Any, list[Population]]:
    """The chip, and the populations that are on it, in order."""
    architecture = sanafe.load_arch(str(folder / "chip.yaml"))
    network = sanafe.Network()
    groups = [_group(network, job, index, population) for index, population in enumerate(job["populations"])]
    for index, projection in enumerate(job["projections"]):
        sources, targets, weights = np.load(folder / f"synapses.{index}.npy", allow_pickle=False)
        if projection["graded"]:  # the levels come as drive, and add nothing here
            weights = np.zeros_like(weights)
        pairs = np.stack([sources, targets], axis=1).tolist()
        groups[projection["source"]].connect_neurons_sparse(
            groups[projection["target"]], {"w": weights.tolist()}, pairs
        )
    cores = architecture.cores()
    for index, group in enumerate(groups):
        where = np.load(folder / f"core.{index}.npy", allow_pickle=False).tolist()
        for neuron, core in zip(group.neurons, where, strict=True):
            neuron.map_to_core(cores[core])
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    return chip, _populations(folder, job, chip)


def _group(network: Any, job: Job, index: int, population: JobPopulation) -> Any:
    units, port = job["units"], index == 0
    attributes: dict[str, float | str] = {"threshold": 0.0, "bias": 0.0}
    if not port:
        attributes["reset_mode"] = population["reset_mode"]
        attributes["threshold"] = float(population["threshold"])
        attributes |= {"leak_decay": population["keep_v"] / 4096, "input_decay": 0.0, "log_u": population["keep_u"] > 0}
    return network.create_neuron_group(
        group_name(index),
        population["neurons"],
        attributes,
        default_synapse_hw_name=units["synapse"],
        default_dendrite_hw_name=units["dendrite"],
        soma_hw_name=units["port" if port else "soma"],
        log_spikes=not port,
        log_potential=not port and logs_potential(population),
    )


def logs_potential(population: JobPopulation) -> bool:
    """Whether SANA-FE is to say its potentials: an integrator, or one whose spikes take what SANA-FE's cannot."""
    return not population["fires"] or population["reset_by"] is not None


def _populations(folder: Path, job: Job, chip: Any) -> list[Population]:
    steps, samples = job["timesteps"], job["samples"]
    groups = chip.mapped_neuron_groups
    made: list[Population] = [
        ImagePort(groups[group_name(0)], np.load(folder / "messages.npy", allow_pickle=False), steps)
    ]
    loops = {p["source"]: j for j, p in enumerate(job["projections"]) if p["source"] == p["target"]}
    for index, population in enumerate(job["populations"][1:], start=1):
        synaptic = np.load(folder / f"drive.{index}.npy", mmap_mode="r", allow_pickle=False)
        drive = Drive(synaptic, np.load(folder / f"bias.{index}.npy", allow_pickle=False))
        loop = Loop(*np.load(folder / f"synapses.{loops[index]}.npy", allow_pickle=False)) if index in loops else None
        neurons, depth, keep = groups[group_name(index)], population["depth"], population["keep_u"]
        taken = population["reset_by"]
        made.append(Spiking(neurons, depth, steps, samples, keep=keep, drive=drive, loop=loop, taken=taken))
    return made
