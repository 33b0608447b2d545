"""What SANA-FE says of each time step: spikes, potentials, messages, energies and time. Nothing is computed again.

`steps.npz` holds, a row a time step and a column a population or projection:

- `spikes`: neurons of a population that fired
- `synapse_j`, `soma_j`: energies of the units of the cores that hold a population
- `events`, `events_effective`: synapses that the messages of a projection reached, and those of other weight than zero
- `totals`: joules on synapses, somas and the mesh, seconds, messages, hops
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from chip import group_name, logs_potential
from populations import Population, Spiking
from sanafe_job import Job
from script_job import SomeSynapses

__all__ = ["Record"]

UNIT = 64.0
Cores = npt.NDArray[np.int64]  # of each neuron of a population


class Record:
    """Adds up what `sim` answers, step by step."""

    def __init__(self, folder: Path, job: Job, populations: Sequence[Population]) -> None:
        self.folder, self.job, self.populations = folder, job, populations
        steps = job["samples"] * job["timesteps"] + max(p.depth for p in populations)
        many = len(populations)
        self.spikes = np.zeros((steps, many), dtype=np.int64)
        self.synapse_j, self.soma_j = np.zeros((steps, many)), np.zeros((steps, many))
        self.events = np.zeros((steps, len(job["projections"])), dtype=np.int64)
        self.events_effective = np.zeros_like(self.events)
        self.totals = np.zeros((steps, 6))
        self.index = {group_name(i): i for i in range(many)}
        self.cores: list[Cores] = [np.load(folder / f"core.{i}.npy", allow_pickle=False) for i in range(many)]
        projections = enumerate(job["projections"])
        self.zeros = [_zeros(folder, j, p, self.cores) for j, p in projections]
        self.heard = {  # projection by source population and core
            (p["source"], int(core)): j
            for j, p in enumerate(job["projections"])
            for core in np.unique(self.cores[p["target"]])
        }
        self.trains = self._trains()
        output = job["populations"][-1]
        self.potentials = None if output["fires"] else np.zeros((job["samples"], output["neurons"]), dtype=np.int32)
        self.units: list[tuple[str | None, int]] | None = None

    def add(self, step: int, answer: Mapping[str, Any]) -> None:
        """What one time step did."""
        self._spikes(step, answer["spike_trace"][0])
        self._messages(step, answer["message_trace"][0])
        perf = {name: values[0] for name, values in answer["perf_trace"].items()}
        self._energies(step, perf)
        energy = answer["energy"]
        parts = [energy[name] for name in ("synapse", "soma", "network")]
        self.totals[step] = [*parts, answer["sim_time"], answer["packets_sent"], perf["hops"]]
        self._charges(step, answer["neuron_trace"])
        potentials = self._potentials(answer["potential_trace"])
        last = self.populations[-1].window(step)
        if last is None or last[1] != self.job["timesteps"] - 1:
            return
        if self.potentials is not None:
            self.potentials[last[0]] = potentials[len(self.populations) - 1] * UNIT
        (self.folder / "progress").write_text(str(last[0] + 1))

    def write(self) -> None:
        """Leaves everything in the folder."""
        for index, train in self.trains.items():
            np.save(self.folder / f"spikes.{index}.npy", train, allow_pickle=False)
        if self.potentials is not None:
            np.save(self.folder / "potentials.npy", self.potentials, allow_pickle=False)
        names = ("spikes", "synapse_j", "soma_j", "events", "events_effective", "totals")
        np.savez(self.folder / "steps.npz", **{name: getattr(self, name) for name in names})

    def _trains(self) -> dict[int, npt.NDArray[np.uint8]]:
        samples, steps = self.job["samples"], self.job["timesteps"]
        wanted = [i for i, p in enumerate(self.job["populations"]) if p.get("record")]
        return {i: np.zeros((samples, steps, self.job["populations"][i]["neurons"]), dtype=np.uint8) for i in wanted}

    def _spikes(self, step: int, fired: Iterable[Any]) -> None:
        for population in self.populations:
            population.fired = []
        for address in fired:
            index = self.index[address.group_name]
            self.populations[index].fired.append(address.neuron_offset)
            self.spikes[step, index] += 1
            at = self.populations[index].window(step)
            if at is not None and index in self.trains:
                self.trains[index][(*at, address.neuron_offset)] = 1

    def _messages(self, step: int, messages: Iterable[Mapping[str, Any]]) -> None:
        for message in messages:
            if message["placeholder"]:  # time that ended without a spike
                continue
            core, neuron = message["dest_core_id"], message["src_neuron_offset"]
            projection = self.heard[self.index[message["src_neuron_group_id"]], core]
            self.events[step, projection] += message["spikes"]
            self.events_effective[step, projection] += message["spikes"] - self.zeros[projection].get((neuron, core), 0)

    def _energies(self, step: int, perf: Mapping[str, float]) -> None:
        if self.units is None:
            self.units = [_unit_of(name, self.job, self.cores) for name in perf]
        for (part, index), joules in zip(self.units, perf.values(), strict=True):
            if part is not None:
                getattr(self, part)[step, index] += joules

    def _charges(self, step: int, traces: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """SANA-FE gives the charges of all neurons that were asked for, population after population."""
        if not any(p.get("keep_u") for p in self.job["populations"]):
            return
        charge, begin = np.asarray(traces["u"][0]), 0
        for population, record in zip(self.populations, self.job["populations"], strict=True):
            if isinstance(population, Spiking) and record["keep_u"]:
                population.after(step, charge[begin : begin + record["neurons"]])
                begin += record["neurons"]

    def _potentials(self, trace: Sequence[Sequence[float]]) -> dict[int, npt.NDArray[np.float64]]:
        """Those of the populations that were asked for, which then take what their spikes take."""
        said: dict[int, npt.NDArray[np.float64]] = {}
        begin = 0
        for index, record in enumerate(self.job["populations"][1:], start=1):
            if logs_potential(record):
                said[index] = np.asarray(trace[0][begin : begin + record["neurons"]])
                begin += record["neurons"]
                population = self.populations[index]
                assert isinstance(population, Spiking)  # noqa: S101  only the first is not
                population.take(said[index])
        return said


def _zeros(folder: Path, index: int, projection: SomeSynapses, cores: Sequence[Cores]) -> dict[tuple[int, int], int]:
    """How many synapses of weight zero each source neuron has on each core."""
    sources, targets, weights = np.load(folder / f"synapses.{index}.npy", allow_pickle=False)
    none = weights == 0
    pairs = np.stack([sources[none], cores[projection["target"]][targets[none]]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    return {(int(neuron), int(core)): int(count) for (neuron, core), count in zip(found, counts, strict=True)}


def _unit_of(name: str, job: Job, cores: Sequence[Cores]) -> tuple[str | None, int]:
    """Array and column of an energy such as `tile3[0].core13[0].soma.energy`; (None, 0) for any other figure."""
    found = re.fullmatch(r"tile\d+\[0\]\.core(\d+)\[0\]\.(\w+)\.energy", name)
    if found is None:
        return None, 0
    index = next(i for i, where in enumerate(cores) if int(found[1]) in where)
    return ("synapse_j" if found[2] == job["units"]["synapse"] else "soma_j"), index
