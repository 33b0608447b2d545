"""What SANA-FE did, read from the folder of a job: spikes, counts, and energy and time by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from kdsnn.network import Network, Projection
from kdsnn.network.counters import Counts, Tally, counts_of
from kdsnn.targets.base import Computed
from kdsnn.targets.processes.results import read_answer, read_potentials, read_spikes
from kdsnn.targets.sanafe.architecture import Constants

if TYPE_CHECKING:
    from kdsnn.targets.sanafe.worker.sanafe_job import Result

__all__ = ["read_result"]

Array = npt.NDArray[Any]
Steps = Mapping[str, Array]
Noted = Literal["setup_s", "run_s", "steps", "fill_steps"]  # of the worker's result


def read_result(folder: Path, network: Network, samples: int, names: Sequence[str], constants: Constants) -> Computed:
    """What a job computed.

    Args:
        folder: where the worker wrote.
        network: that ran.
        samples: number of images.
        names: populations whose spikes were kept.
        constants: of the chip.

    Raises:
        TargetUnavailableError: what the worker left does not belong to the job.
    """
    answer = cast("Result", read_answer(folder, network, "SANA-FE"))
    with np.load(folder / "steps.npz", allow_pickle=False) as steps:
        windows = _Windows(network, samples, dict(steps))
    noted: tuple[Noted, ...] = get_args(Noted)
    return Computed(
        spikes=read_spikes(folder, network, samples, names, "SANA-FE"),
        counts=_counts(windows, constants),
        potentials=read_potentials(folder, network, samples, "SANA-FE"),
        versions=answer["versions"],
        notes={name: float(answer[name]) for name in noted} | _parts(windows, constants),
    )


class _Windows:
    """Sums over the time steps in which each population works on images: it begins `depth` steps after the input.

    What happens outside, while the first image enters and the last one leaves, belongs to no image.
    """

    def __init__(self, network: Network, samples: int, steps: Steps) -> None:
        self.network, self.samples, self.steps = network, samples, steps
        self.index = {p.name: i for i, p in enumerate(network.populations)}

    def of(self, what: str, column: int, depth: int) -> Any:
        """Sum of a column over the window of that depth."""
        return self.steps[what][depth : depth + self.samples * self.network.timesteps, column].sum()

    def population(self, what: str, name: str) -> Any:
        """Sum over what a population did."""
        return self.of(what, self.index[name], self.network.depths[name])

    def arrivals(self, what: str, name: str) -> Any:
        """Sum over what reached a population: a step's messages arrive in it, and count from the next."""
        depth = max(self.network.depths[p.source] for p in self.network.incoming(name) if not p.recurrent)
        return self.of(what, self.index[name], depth)

    def events(self, what: str, projection: Projection) -> int:
        """Synaptic events of a projection, but for those of spikes that a population sent to itself too late."""
        column, depth = self.network.projections.index(projection), self.network.depths[projection.source]
        return int(self.of(what, column, depth)) - self.lost(what, projection)

    def lost(self, what: str, projection: Projection, *, images: int | None = None) -> int:
        """Those of the last step of each image, or of the first so many images, where a population feeds itself."""
        if not projection.recurrent:
            return 0
        steps, first = self.network.timesteps, self.network.depths[projection.source]
        last = slice(first + steps - 1, first + (self.samples if images is None else images) * steps, steps)
        return int(self.steps[what][last, self.network.projections.index(projection)].sum())


def _counts(windows: _Windows, constants: Constants) -> Counts:
    """What SANA-FE counted: neurons that fired, synapses that messages reached, updates that somas were charged for."""
    network = windows.network
    extra = constants.active[0] - constants.inactive[0]
    tallies = {}
    for population in network.spiking:
        projections = network.incoming(population.name)
        graded = [p for p in projections if network.graded(p)]
        binary = [p for p in projections if p not in graded]
        spikes = int(windows.population("spikes", population.name))
        updates = (windows.population("soma_j", population.name) - spikes * extra) / constants.inactive[0]
        tallies[population.name] = Tally(
            spikes=spikes,
            synops_dense=sum(windows.events("events", p) for p in binary),
            synops_effective=sum(windows.events("events_effective", p) for p in binary),
            input_macs=sum(windows.events("events", p) for p in graded),
            input_macs_effective=sum(windows.events("events_effective", p) for p in graded),
            neuron_updates=round(updates),
        )
    return counts_of(network, tallies, windows.samples)


def _parts(windows: _Windows, constants: Constants) -> dict[str, float]:
    """Joules by part and seconds, all of them sums over the run.

    `latency_s` adds up, for each image, the time from its first step to the last one of the output.
    """
    network, totals = windows.network, windows.steps["totals"]
    synapse = sum(windows.arrivals("synapse_j", p.name) for p in network.spiking)
    # a population's own spikes come a step later than what is before it: of them, the last image's last are not in it
    lost = sum(windows.lost("events", p, images=windows.samples - 1) for p in network.projections)
    synapse -= lost * constants.synapse[0]
    soma = sum(windows.population("soma_j", p.name) for p in network.spiking)
    all_synapse, all_soma, mesh, seconds, messages, hops = totals.sum(axis=0)
    passes = network.timesteps + network.depths[network.output.name]
    begins = range(0, windows.samples * network.timesteps, network.timesteps)
    return {
        "energy_synapse_j": float(synapse),
        "energy_soma_j": float(soma),
        "energy_messages_j": float(messages * constants.message[0]),
        "energy_hops_j": float(mesh - messages * constants.message[0]) if hops else 0.0,
        "energy_fill_j": max(0.0, float(all_synapse + all_soma - synapse - soma)),
        "messages": float(messages),
        "hops": float(hops),
        "static_w": constants.static_w,
        "simulated_s": float(seconds),
        "latency_s": float(sum(totals[begin : begin + passes, 3].sum() for begin in begins)),
    }
