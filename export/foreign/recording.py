"""What the user's own simulator saw and did: `recorded.npz`.

    x                   images, (N, C, H, W) or (N, F) uint8: the pixels, before --input-scale; in time (N, T, ...)
    steps               T, where the images are in time and have no five axes
    output_spikes       (N, T, classes): of the output population
    spikes/POPULATION   (N, T, neurons), or their counts over T (N, neurons): of any population
    predictions         (N,): index of the class with the highest score

Of the last three at least one. `kdsnn evaluate --dump` writes the same names.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.sources.columns import in_npz
from kdsnn.errors import InputError
from kdsnn.network import Network, Population, neuron_of

__all__ = ["PREDICTIONS", "read_recording"]

OUTPUT, PREDICTIONS, SPIKES = "output_spikes", "predictions", "spikes/"
FloatArray = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]
HOW = "write it with numpy.savez(path, x=images, output_spikes=spikes): (N, ...) uint8 and (N, T, classes)"


def read_recording(path: Path, network: Network) -> tuple[npt.NDArray[np.uint8], dict[str, FloatArray]]:
    """The images, and what was recorded: by population, on the way from the input, then the predictions.

    Returns:
        Images `(N, ...)`, and `(N, T, neurons)` spikes or `(N, neurons)` counts of a population, `(N,)` predictions.

    Raises:
        InputError: it is no such file, or of another network.
    """
    arrays = _arrays(path)
    images = arrays.pop("x", None)
    if images is None:
        raise InputError(f"{path} has no images x", hint=HOW)
    if images.dtype != np.uint8 or not images.ndim or not images.size or images[0].size != prod(network.image_shape):
        raise InputError(
            f"{path} has x of {images.shape} {images.dtype}, and the network takes uint8 of {network.image_shape}",
            hint="record the pixels themselves; what the network saw for a pixel of 1 is --input-scale",
        )
    names = {SPIKES + population.name: population for population in network.spiking}
    recorded = {p.name: _spikes(path, key, arrays.pop(key), network, p) for key, p in names.items() if key in arrays}
    if OUTPUT in arrays:
        recorded[network.output.name] = _spikes(path, OUTPUT, arrays.pop(OUTPUT), network, network.output)
    if PREDICTIONS in arrays:
        recorded[PREDICTIONS] = _numbers(path, PREDICTIONS, arrays.pop(PREDICTIONS))
    if unknown := sorted(set(arrays) - {"y", "steps"}):
        raise InputError(f"{path} has {', '.join(unknown)[:200]}, and there may be: {', '.join(names)}", hint=HOW)
    if not recorded:
        raise InputError(f"{path} has images, and nothing to compare", hint=HOW)
    for name, values in recorded.items():
        if len(values) != len(images):
            raise InputError(f"{path} has {len(images)} images, and {len(values)} of {name}")
    return images, recorded


def _arrays(path: Path) -> Arrays:
    return {name: column.whole() for name, column in in_npz(path, hint=HOW).items()}


def _spikes(path: Path, key: str, values: npt.NDArray[Any], network: Network, population: Population) -> FloatArray:
    """Trains, or counts where it has no room for the steps."""
    if not neuron_of(population).fires:
        raise InputError(f"{path}: {key} is of an integrator, which never fires", hint="record its predictions")
    steps, neurons, shape = network.timesteps, population.neurons, values.shape
    values = _numbers(path, key, values)
    if len(shape) >= 3 and shape[1] == steps and prod(shape[2:]) == neurons:
        return values.reshape(len(values), steps, neurons)
    if len(shape) == 2 and shape[1] == neurons:
        return values
    raise InputError(
        f"{path}: {key} is of shape {shape}, and neither (N, {steps}, {neurons}): images, steps, neurons; nor counts",
        hint="say for how many steps an image was shown: -T",
    )


def _numbers(path: Path, key: str, values: npt.NDArray[Any]) -> FloatArray:
    if values.dtype.kind not in "biuf" or not values.ndim:
        raise InputError(f"{path}: {key} is {values.shape} {values.dtype}, not numbers of each image", hint=HOW)
    return values
