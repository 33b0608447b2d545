"""The images on which an integer network is compared with the float network that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset
from kdsnn.network import Network
from kdsnn.network.operators import Conv2d
from kdsnn.recipes.schema import QuantizeSection

__all__ = ["Shown", "images_to_agree_on", "synthetic_images"]

IMAGES = 200
FEWEST = 20
MOST_SUMS = 16e9  # multiply-accumulates of the float simulation: some ten seconds
DENSEST, SEED = 0.5, 0
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shown:
    """Images `(N, C, H, W)` uint8, their labels `(N,)` where they are classes of the network, and what they are."""

    images: Images
    labels: npt.NDArray[np.int64] | None
    what: str


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
        bits = 8 if section.input_bits == "auto" else section.input_bits
        return Shown(synthetic_images(network.input.shape, count, bits), None, f"synthetic images of {bits} bits")
    train = data.train
    begin = min(section.calibration_samples, max(0, len(train.images) - count))
    images, labels = train.images[begin : begin + count], train.labels[begin : begin + count]
    known = len(data.labels) == len(network.labels)
    return Shown(images, labels if known else None, f"training images of {data.name}")


def synthetic_images(shape: tuple[int, ...], count: int, bits: int) -> Images:
    """Noise of many densities: in each image a share of the pixels is lit, by 255 or, with more bits, by any value."""
    rng = np.random.default_rng(SEED)
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
