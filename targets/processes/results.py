"""What a worker left in the folder of its job, read: nothing is taken that does not belong to the job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import TargetUnavailableError
from kdsnn.network import Network

__all__ = ["load_array", "read_answer", "read_potentials", "read_spikes"]

Array = npt.NDArray[Any]


def read_answer(folder: Path, network: Network, who: str) -> dict[str, Any]:
    """The object in `result.json`.

    Raises:
        TargetUnavailableError: it is that of another network.
    """
    answer: dict[str, Any] = json.loads((folder / "result.json").read_text())
    if answer["fingerprint"] != network.fingerprint():
        raise TargetUnavailableError(f"the {who} worker answered for another network")
    return answer


def read_spikes(folder: Path, network: Network, samples: int, names: Sequence[str], who: str) -> dict[str, Array]:
    """The spikes of the named populations, `(N, T, *shape)`, from `spikes.<i>.npy` for the population of that index."""
    spikes = {}
    for index, population in enumerate(network.populations):
        if population.name in names:
            shape = (samples, network.timesteps, population.neurons)
            train = load_array(folder / f"spikes.{index}.npy", shape, np.uint8, who)
            spikes[population.name] = train.reshape(samples, network.timesteps, *population.shape)
    return spikes


def read_potentials(folder: Path, network: Network, samples: int, who: str) -> npt.NDArray[np.int32] | None:
    """The potentials of an integrator at the output, `(N, *shape)`, from `potentials.npy`; else None."""
    if network.readout != "membrane":
        return None
    read = load_array(folder / "potentials.npy", (samples, network.output.neurons), np.int32, who)
    return read.reshape(samples, *network.output.shape)


def load_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, who: str) -> Array:
    """An array that a worker left, mapped: the folder may go, and the file stays until the array does.

    Raises:
        TargetUnavailableError: it has another shape or dtype.
    """
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != dtype:
        raise TargetUnavailableError(f"the {who} worker left {path.name} as {array.dtype} {array.shape}, not {shape}")
    return array
