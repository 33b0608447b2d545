"""Several copies of a network side by side in one Lava network, which share its weights: its lanes.

Lane b shows image `b` of each round of images. All lanes of a population live in one Lava process, lane after lane in
its channels: `(X, Y, lanes * C)`, or `(lanes * N,)`. So one message carries several images, and Lava's cost of a time
step, which does not depend on what is in a message, is paid once for all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Lanes"]

Array = npt.NDArray[Any]


class Lanes:
    """Which lane shows which image, and when.

    Args:
        count: number of lanes.
        samples: number of images; in the last round some lanes may have none.
        timesteps: that an image is shown for.
    """

    def __init__(self, count: int, samples: int, timesteps: int) -> None:
        self.count, self.samples, self.timesteps = count, samples, timesteps
        self.rounds = -(-samples // count)
        self.steps = self.rounds * timesteps

    def images(self, step: int) -> slice:
        """The images that the lanes show at a step, as a slice; empty after the last round."""
        first = step // self.timesteps * self.count
        return slice(min(first, self.samples), min(first + self.count, self.samples))

    def rows(self, step: int) -> slice:
        """Where they stand among the rows `image * timesteps + step of the image`, as a slice."""
        images, within = self.images(step), step % self.timesteps
        return slice(images.start * self.timesteps + within, images.stop * self.timesteps, self.timesteps)

    def split(self, messages: Array, channels: int, step: int) -> Array:
        """Messages of all lanes as `(positions, lanes with an image, channels)`."""
        images = self.images(step)
        return messages.reshape(-1, self.count, channels)[:, : images.stop - images.start]

    def alive(self, messages: Array, channels: int, step: int) -> Array:
        """The messages with zeros in the lanes that have no image."""
        images = self.images(step)
        if images.stop - images.start == self.count:
            return messages
        kept = np.zeros((messages.size // self.count // channels, self.count, channels), messages.dtype)
        kept[:, : images.stop - images.start] = self.split(messages, channels, step)
        return kept

    def join(self, arrays: Array) -> Array:
        """`(n, C, H, W)` or `(n, N)`, n being at most the number of lanes, as what all lanes hold; the rest is zero."""
        if len(arrays) < self.count:
            rest = np.zeros((self.count - len(arrays), *arrays.shape[1:]), arrays.dtype)
            arrays = np.concatenate([arrays, rest])
        if arrays.ndim == 2:
            return arrays.reshape(-1)
        side_by_side = arrays.transpose(3, 2, 0, 1)
        return np.ascontiguousarray(side_by_side).reshape(*side_by_side.shape[:2], -1)
