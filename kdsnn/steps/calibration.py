"""The images that an integer network is made by, and those on which it is compared with its float network."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset
from kdsnn.network import Network
from kdsnn.network.operators import Conv2d
from kdsnn.recipes.schema import QuantizeSection

__all__ = ["Shown", "bits_of", "images_to_agree_on", "images_to_calibrate_on", "synthetic_images"]

IMAGES = 200
FEWEST = 20
MOST_SUMS = 16e9  # multiply-accumulates of the float simulation: some ten seconds
DENSEST = 0.5
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shown:
    """Images `(N, C, H, W)` uint8, their labels `(N,)` where they are classes of the network, and what they are."""

    images: Images
    labels: npt.NDArray[np.int64] | None
    what: str


def images_to_calibrate_on(network: Network, data: Dataset | None, section: QuantizeSection) -> Images:
    """The first training images, as many as the section says; synthetic ones where there is no data set."""
    if data is None:
        return synthetic_images(network.input.shape, section.calibration_samples, bits_of(section), seed=1)
    return data.train.images[: section.calibration_samples]


def bits_of(section: QuantizeSection) -> int:
    """Width of an input message, eight bits where it is left to the images."""
    return 8 if section.input_bits == "auto" else section.input_bits


def images_to_agree_on(network: Network, data: Dataset | None, section: QuantizeSection) -> Shown:
    """Training images after those that the scales were chosen by, or synthetic ones where there is no data set.

    As many as the float simulation passes in seconds, 200 at most.

    Args:
        network: float.
        data: whose images it takes.
        section: how many images the scales were chosen by, and the width of an input message.
    """
    count = int(np.clip(MOST_SUMS // (network.timesteps * _synapses(network)), FEWEST, IMAGES))
    if data is None:
        bits = bits_of(section)
        return Shown(synthetic_images(network.input.shape, count, bits), None, f"synthetic {bits}-bit images")
    train = data.train
    begin = min(section.calibration_samples, max(0, len(train.images) - count))
    images, labels = train.images[begin : begin + count], train.labels[begin : begin + count]
    known = len(data.labels) == len(network.labels)
    return Shown(images, labels if known else None, f"training images of {data.name}")


def synthetic_images(shape: tuple[int, ...], count: int, bits: int, *, seed: int = 0) -> Images:
    """Noise of many densities: in each image a share of the pixels is lit, by 255 or, with more bits, by any value."""
    rng = np.random.default_rng(seed)
    density = rng.uniform(0.0, DENSEST, (count, *(1 for _ in shape)))
    lit = rng.random((count, *shape)) < density
    light = 255 if bits == 1 else rng.integers(1, 256, lit.shape)
    return (lit * light).astype(np.uint8)


def _synapses(network: Network) -> int:
    total = 0
    for projection in network.projections:
        op, neurons = projection.op, network.population(projection.target).neurons
        total += neurons * prod(op.weight.shape[1:]) if isinstance(op, Conv2d) else op.weight.size
    return total
