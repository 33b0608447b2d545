"""Programs that compute in this process: batches of images in, spikes and counts out."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from kdsnn.errors import TimedOutError
from kdsnn.network import Network
from kdsnn.network.counters import Tally, counts_of
from kdsnn.targets.base import Computed, Program, Progress

__all__ = ["Activity", "BatchProgram"]

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Activity:
    """The spikes and counts of one population on a batch of images.

    Attributes:
        name: name of the population.
        tally: its counts, as the program counted them.
        train: its spikes `(N, T, *shape)`, where they are recorded; read before the next activity is asked for, since
            the next batch may take their memory.
        potentials: its membrane potentials after the last step, `(N, *shape)`, where it is an integrator.
    """

    name: str
    tally: Tally
    train: npt.NDArray[np.uint8] | None
    potentials: npt.NDArray[np.int32] | None = None


class BatchProgram(Program):
    """A program that computes in this process, a batch of images at a time.

    Args:
        network: the integer network to run.
        name: name of the target, for messages.
        batch: number of images computed at once.
        versions: versions of the libraries that compute, such as `{"numpy": "2.4.6"}`.
        threads: number of batches that are simulated side by side, each by one of the threads that BLAS would take.
    """

    def __init__(
        self, network: Network, *, name: str, batch: int, versions: Mapping[str, str], threads: int = 1
    ) -> None:
        super().__init__(network)
        self.name, self.batch, self.versions, self.threads = name, batch, versions, threads

    @abstractmethod
    def simulate(self, images: Images, recorded: Collection[str]) -> Iterable[Activity]:
        """The activity of each population but the input on a batch, in the order of the network.

        Args:
            images: `(N, *image_shape)` uint8, `self.batch` images at most.
            recorded: names of the populations whose spikes are kept.
        """

    def compute(
        self, images: Images, recorded: Sequence[str], time_limit_s: float | None, progress: Progress | None
    ) -> Computed:
        """Simulates batch by batch, and adds up; the time limit is looked at after each batch."""
        start, network = time.perf_counter(), self.network
        shapes = {name: (len(images), network.timesteps, *network.population(name).shape) for name in recorded}
        spikes = {name: np.empty(shape, dtype=np.uint8) for name, shape in shapes.items()}
        potentials: list[npt.NDArray[np.int32]] = []
        tallies = {p.name: Tally() for p in network.spiking}
        for begin, activities in self._batches(images, recorded):
            done = min(begin + self.batch, len(images))
            for activity in activities:
                tallies[activity.name] += activity.tally
                if activity.train is not None:
                    spikes[activity.name][begin:done] = activity.train
                if activity.potentials is not None:
                    potentials.append(activity.potentials)
            if progress:
                progress(done)
            if time_limit_s is not None and time.perf_counter() - start > time_limit_s:
                raise TimedOutError(f"target {self.name!r} passed its limit of {time_limit_s:g} s after {done} images")
        return Computed(
            spikes=spikes,
            counts=counts_of(self.network, tallies, len(images)),
            potentials=np.concatenate(potentials) if potentials else None,
            versions=self.versions,
        )

    def _batches(self, images: Images, recorded: Collection[str]) -> Iterator[tuple[int, Iterable[Activity]]]:
        """The number of the first image of each batch, in their order, and what was done on it."""
        begins = range(0, len(images), self.batch)
        shown = (images[begin : begin + self.batch] for begin in begins)
        if self.threads == 1 or len(begins) == 1:
            yield from zip(begins, (self.simulate(batch, recorded) for batch in shown), strict=True)
            return
        pool = ThreadPoolExecutor(self.threads)
        try:
            with threadpool_limits(1, user_api="blas"):  # threads of threads would wait for each other
                yield from zip(begins, pool.map(lambda batch: list(self.simulate(batch, recorded)), shown), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)
