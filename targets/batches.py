"""The loop that targets in this process share: batches of images in, spikes and counts out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.errors import TimedOutError
from kdsnn.network import Network, counters
from kdsnn.targets.base import Progress, Record, RunResult, check_images, predict

__all__ = ["Activity", "recorded", "run_in_batches"]

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Activity:
    """What a population did on a batch.

    Attributes:
        name: of the population.
        emitted: spikes of each neuron, summed over images and time steps, `(*shape)`.
        train: its spikes `(N, T, *shape)`, where they are recorded.
        potentials: after the last step, `(N, *shape)`, where it is an integrator.
    """

    name: str
    emitted: npt.NDArray[np.int64]
    train: npt.NDArray[np.uint8] | None
    potentials: npt.NDArray[np.int32] | None = None


def recorded(network: Network, record: Record) -> list[str]:
    """Names of the populations whose spikes a run keeps."""
    return [p.name for p in network.spiking if record == "all" or p is network.output]


def run_in_batches(
    network: Network,
    images: Images,
    simulate: Callable[[Images], Iterable[Activity]],
    *,
    target: str,
    batch: int,
    versions: Mapping[str, str],
    time_limit_s: float | None,
    progress: Progress | None,
) -> RunResult:
    """Simulates images batch by batch, and adds up.

    Args:
        network: what runs.
        images: `(N, C, H, W)` uint8.
        simulate: what each population but the input does on a batch.
        target: name of the target.
        batch: images at once.
        versions: of what computes.
        time_limit_s: looked at after each batch.
        progress: called after each batch.

    Raises:
        InputError: the images do not fit the network.
        TimedOutError: it took longer than `time_limit_s`.
    """
    check_images(network, images)
    start = time.perf_counter()
    kept: dict[str, list[npt.NDArray[np.uint8]]] = {}
    potentials: list[npt.NDArray[np.int32]] = []
    emitted = {p.name: np.zeros(p.shape, dtype=np.int64) for p in network.populations}
    for begin in range(0, len(images), batch):
        shown = images[begin : begin + batch]
        messages = counters.input_messages(network, shown)
        emitted[network.input.name] += (messages > 0).sum(axis=0, dtype=np.int64) * network.timesteps
        for done_by in simulate(shown):
            emitted[done_by.name] += done_by.emitted
            if done_by.train is not None:
                kept.setdefault(done_by.name, []).append(done_by.train)
            if done_by.potentials is not None:
                potentials.append(done_by.potentials)
        done = begin + len(shown)
        if progress:
            progress(done)
        if time_limit_s is not None and time.perf_counter() - start > time_limit_s:
            raise TimedOutError(f"target {target!r} passed its limit of {time_limit_s:g} s after {done} images")
    trains = {name: np.concatenate(parts) for name, parts in kept.items()}
    read = np.concatenate(potentials) if potentials else None
    return RunResult(
        target=target,
        fingerprint=network.fingerprint(),
        predictions=predict(trains[network.output.name], read),
        spikes=trains,
        counts=counters.count(network, emitted, len(images)),
        wall_s=time.perf_counter() - start,
        potentials=read,
        versions=versions,
    )
