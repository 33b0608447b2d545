"""What the emulator did, read from the folder of a job: spikes and counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

from kdsnn.network import Network
from kdsnn.network.counters import Counts, Tally, counts_of
from kdsnn.targets.base import Computed
from kdsnn.targets.processes.results import load_array, read_answer, read_potentials, read_spikes

if TYPE_CHECKING:
    from kdsnn.targets.nengo_loihi.worker.nengo_job import Result

__all__ = ["WHO", "read_result"]

WHO = "nengo-loihi"
# Figures of the worker's result.
Noted = Literal["setup_s", "run_s", "steps", "lanes", "compartments", "in_axons", "out_axons", "synapse_bits"]


def read_result(folder: Path, network: Network, samples: int, names: Sequence[str]) -> Computed:
    """What a job computed.

    Args:
        folder: where the worker wrote.
        network: that ran.
        samples: number of images.
        names: populations whose spikes were kept.

    Raises:
        TargetUnavailableError: what the worker left does not belong to the job.
    """
    answer = cast("Result", read_answer(folder, network, WHO))
    noted: tuple[Noted, ...] = get_args(Noted)
    return Computed(
        spikes=read_spikes(folder, network, samples, names, WHO),
        counts=_counts(folder, network, samples),
        potentials=read_potentials(folder, network, samples, WHO),
        versions=answer["versions"],
        notes={name: float(answer[name]) for name in noted},
    )


def _counts(folder: Path, network: Network, samples: int) -> Counts:
    counted = load_array(folder / "events.npy", (len(network.projections), 4), np.int64, WHO)
    events = {projection.name: row for projection, row in zip(network.projections, counted, strict=True)}
    cells = load_array(folder / "tally.npy", (len(network.spiking), 2), np.int64, WHO)
    tallies = {}
    for population, (spikes, updates) in zip(network.spiking, cells.tolist(), strict=True):
        dense, effective, macs, macs_effective = sum(events[p.name] for p in network.incoming(population.name)).tolist()
        tallies[population.name] = Tally(spikes, dense, effective, macs, macs_effective, updates)
    return counts_of(network, tallies, samples)
