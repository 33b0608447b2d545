"""The loop that targets in this process share: batches of images in, spikes and counts out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from kdsnn import counters
from kdsnn.errors import TimedOutError
from kdsnn.network import Network
from kdsnn.targets.base import Progress, Record, RunResult, check_images, predict

__all__ = ["Simulated", "recorded", "run_in_batches"]

Images = npt.NDArray[np.uint8]
# a population, its spikes summed over images and time steps, and them all, `(N, T, *shape)`, where they are recorded
Simulated = Iterable[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.uint8] | None]]


def recorded(network: Network, record: Record) -> list[str]:
    """Names of the populations whose spikes a run keeps."""
    return [p.name for p in network.spiking if record == "all" or p is network.output]


def run_in_batches(
    network: Network,
    images: Images,
    simulate: Callable[[Images], Simulated],
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
    emitted = {p.name: np.zeros(p.shape, dtype=np.int64) for p in network.populations}
    for begin in range(0, len(images), batch):
        shown = images[begin : begin + batch]
        messages = counters.input_messages(network, shown)
        emitted[network.input.name] += (messages > 0).sum(axis=0, dtype=np.int64) * network.timesteps
        for name, spikes, train in simulate(shown):
            emitted[name] += spikes
            if train is not None:
                kept.setdefault(name, []).append(train)
        done = begin + len(shown)
        if progress:
            progress(done)
        if time_limit_s is not None and time.perf_counter() - start > time_limit_s:
            raise TimedOutError(f"target {target!r} passed its limit of {time_limit_s:g} s after {done} images")
    trains = {name: np.concatenate(parts) for name, parts in kept.items()}
    return RunResult(
        target=target,
        fingerprint=network.fingerprint(),
        predictions=predict(trains[network.output.name]),
        spikes=trains,
        counts=counters.count(network, emitted, len(images)),
        wall_s=time.perf_counter() - start,
        versions=versions,
    )
