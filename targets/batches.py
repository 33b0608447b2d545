"""Programs that compute in this process: batches of images in, spikes and counts out."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.errors import TimedOutError
from kdsnn.network import Network
from kdsnn.network.counters import Tally, counts_of
from kdsnn.targets.base import Computed, Program, Progress

__all__ = ["Activity", "BatchProgram"]

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Activity:
    """What a population did on a batch.

    Attributes:
        name: of the population.
        tally: what it did, as counted by the program.
        train: its spikes `(N, T, *shape)`, where they are recorded.
        potentials: after the last step, `(N, *shape)`, where it is an integrator.
    """

    name: str
    tally: Tally
    train: npt.NDArray[np.uint8] | None
    potentials: npt.NDArray[np.int32] | None = None


class BatchProgram(Program):
    """A program that computes in this process, a batch of images at a time.

    Args:
        network: that runs.
        name: of the target, for messages.
        batch: images at once.
        versions: of what computes.
    """

    def __init__(self, network: Network, *, name: str, batch: int, versions: Mapping[str, str]) -> None:
        super().__init__(network)
        self.name, self.batch, self.versions = name, batch, versions

    @abstractmethod
    def simulate(self, images: Images, recorded: Collection[str]) -> Iterable[Activity]:
        """What each population but the input does on a batch `(N, *image_shape)`.

        Args:
            images: at most `self.batch`.
            recorded: names of the populations whose spikes are kept.
        """

    def compute(
        self, images: Images, recorded: Sequence[str], time_limit_s: float | None, progress: Progress | None
    ) -> Computed:
        """Simulates batch by batch, and adds up; the time limit is looked at after each batch."""
        start = time.perf_counter()
        trains: dict[str, list[npt.NDArray[np.uint8]]] = {}
        potentials: list[npt.NDArray[np.int32]] = []
        tallies = {p.name: Tally() for p in self.network.spiking}
        for begin in range(0, len(images), self.batch):
            shown = images[begin : begin + self.batch]
            for activity in self.simulate(shown, recorded):
                tallies[activity.name] += activity.tally
                if activity.train is not None:
                    trains.setdefault(activity.name, []).append(activity.train)
                if activity.potentials is not None:
                    potentials.append(activity.potentials)
            done = begin + len(shown)
            if progress:
                progress(done)
            if time_limit_s is not None and time.perf_counter() - start > time_limit_s:
                raise TimedOutError(f"target {self.name!r} passed its limit of {time_limit_s:g} s after {done} images")
        return Computed(
            spikes={name: np.concatenate(parts) for name, parts in trains.items()},
            counts=counts_of(self.network, tallies, len(images)),
            potentials=np.concatenate(potentials) if potentials else None,
            versions=self.versions,
        )
