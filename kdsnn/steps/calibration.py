"""The images that an integer network is made by, and those on which it is compared with its float network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isclose, prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset
from kdsnn.data.encoders import DIRECT
from kdsnn.data.sources.load import ImageSet
from kdsnn.data.sources.source import still
from kdsnn.errors import InputError
from kdsnn.export.foreign.convert import Foreign, read_foreign
from kdsnn.export.lowering.module_agreement import trial_images
from kdsnn.network import Network
from kdsnn.network.validation import synapses_of
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.steps.images import said_of

__all__ = [
    "Shown",
    "bits_of",
    "check_steps",
    "images_to_agree_on",
    "images_to_calibrate_on",
    "images_to_check",
    "read_with",
    "synthetic_images",
]

IMAGES = 200
FEWEST = 20
MOST_SUMS = 16e9  # multiply-accumulates of the float simulation: some ten seconds
DENSEST = 0.5
MOST_PIXELS = 2**26  # of all synthetic images
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shown:
    """Images `(N, *image_shape)` uint8, labels `(N,)` where they are classes of the network, and what they are."""

    images: Images
    labels: npt.NDArray[np.int64] | None
    what: str


def images_to_calibrate_on(network: Network, data: Dataset | ImageSet | None, section: QuantizeSection) -> Images:
    """The first training images, as many as the section says; synthetic ones where there are no data."""
    if data is None:
        return synthetic_images(network.image_shape, section.calibration_samples, bits_of(section), seed=1)
    images = (data.train if isinstance(data, Dataset) else data).images
    return data.shown(images[: section.calibration_samples], network.timesteps)


def bits_of(section: QuantizeSection) -> int:
    """Width of an input message, eight bits where it is left to the images."""
    return 8 if section.input_bits == "auto" else section.input_bits


def images_to_agree_on(network: Network, data: Dataset | ImageSet | None, section: QuantizeSection) -> Shown:
    """Training images after those that the scales were chosen by, or synthetic ones where there are no data.

    As many as the float simulation passes in seconds, 200 at most.

    Args:
        network: float.
        data: whose images it takes; without a split, all are for training.
        section: how many images the scales were chosen by, and the width of an input message.
    """
    count = int(np.clip(MOST_SUMS // (network.timesteps * _synapses(network)), FEWEST, IMAGES))
    if data is None:
        bits = bits_of(section)
        return Shown(synthetic_images(network.image_shape, count, bits), None, f"synthetic {bits}-bit images")
    train, classes = (data.train, data.labels) if isinstance(data, Dataset) else (data, None)
    begin = min(section.calibration_samples, max(0, len(train.images) - count))
    labels = None if train.labels is None else train.labels[begin : begin + count]
    known = classes is not None and len(classes) == len(network.labels)
    images = data.shown(train.images[begin : begin + count], network.timesteps)
    return Shown(images, labels if known else None, f"training images of {data.name}")


def images_to_check(network: Network, data: Dataset | ImageSet) -> Images:
    """Images on which a module and its float network are compared: two thirds to learn from, one third of no data set.

    As many as the float simulation passes in seconds, 96 at most.
    """
    count = int(np.clip(MOST_SUMS / 4 // (network.timesteps * _synapses(network)), 12, 96))
    images = (data.train if isinstance(data, Dataset) else data).images[: count - count // 3]
    shown = data.shown(images, network.timesteps)
    return np.concatenate([shown, trial_images(network.image_shape, count // 3)])


def read_with(
    path: Path, foreign: Foreign, data: Dataset | ImageSet | None, data_range: tuple[float, float] | None = None
) -> Network:
    """A float NIR graph that takes the images of these data, with the names of their classes.

    Raises:
        InputError: the file is broken, or the images are others than it takes.
        LoweringError: it holds what cannot be carried, by node name.
    """
    if data is None:
        return read_foreign(path, foreign)
    _check_scale(path, foreign, data)
    check_steps(data, foreign.timesteps)
    shape = data.frame_shape
    in_time, steps = data.steps is not None or data.encode != DIRECT, data.steps or foreign.timesteps
    if foreign.in_time and not in_time:
        raise still(f"{data.name} does not say that its images {data.image_shape} are frames in time")
    read = read_foreign(path, replace(foreign, input_shape=shape, in_time=in_time, timesteps=steps))
    if read.input.shape != shape:
        raise InputError(f"{path} takes images of {read.input.shape}, and {data.name} has {shape}")
    read = replace(read, provenance={**read.provenance, **said_of(data, data_range)})
    if not isinstance(data, Dataset):
        return read
    if len(data.labels) == len(read.labels):
        read = replace(read, labels=data.labels)
    return replace(read, provenance={**read.provenance, "dataset": data.name})


def synthetic_images(shape: tuple[int, ...], count: int, bits: int, *, seed: int = 0) -> Images:
    """Noise of many densities: in each image a share of the pixels is lit, by 255 or, with more bits, by any value.

    Fewer images, where these are so large that they would fill the memory.
    """
    rng = np.random.default_rng(seed)
    count = max(1, min(count, MOST_PIXELS // prod(shape)))
    density = rng.uniform(0.0, DENSEST, (count, *(1 for _ in shape)))
    lit = rng.random((count, *shape)) < density
    light = 255 if bits == 1 else rng.integers(1, 256, lit.shape)
    return (lit * light).astype(np.uint8)


def check_steps(data: Dataset | ImageSet, said: int | None) -> None:
    """Raises InputError where data in time have another number of steps than was said."""
    if None not in (said, data.steps) and said != data.steps:
        raise InputError(
            f"{data.name} has {data.steps} time steps, and -T says {said}", hint="leave out -T, or say the same"
        )


def _check_scale(path: Path, foreign: Foreign, data: Dataset | ImageSet) -> None:
    """Raises InputError where the numbers of the data are not what the writer's network is said to have seen."""
    if data.value_range is None:
        return
    low, high = data.value_range
    if low != 0:
        raise InputError(
            f"{data.name} has values from {low:g} to {high:g}, and pixels begin at 0, so {path} would see others",
            hint="give images from 0 up, and put what is subtracted into the first layer of the network",
        )
    if not isclose(high, 255 * foreign.input_scale):
        raise InputError(
            f"{data.name} has values from 0 to {high:g}, and a pixel of 255 is {255 * foreign.input_scale:g} to {path}",
            hint=f"say --input-scale {high / 255:g}",
        )


def _synapses(network: Network) -> int:
    return sum(synapses_of(p, network.population(p.target)) for p in network.projections)
