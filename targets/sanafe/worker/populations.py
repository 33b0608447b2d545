"""Populations on the chip: what the worker sets before a step, since SANA-FE's neurons have no such thing of their own.

SANA-FE's neuron keeps `v * (4096 - decay_v) / 4096`, cut to 1/64 towards zero, adds the bias and what arrived, and
fires above its threshold: in weight units the very equation of `kdsnn.network`, without the current u. What is missing
is set from outside: at the first step of an image, `v = 0` and the image's bias; and where a current keeps something,
at every step, what it kept, computed from the charge that SANA-FE says has arrived.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ImagePort", "Population", "Spiking", "decay"]

UNIT = 64.0  # to a weight unit
Int64Array = npt.NDArray[np.int64]


def decay(x: Int64Array, keep: int) -> Int64Array:
    """`x` times `keep` 4096ths, rounded towards zero."""
    left: Int64Array = np.sign(x) * (np.abs(x) * keep >> 12)
    return left


class Population(ABC):
    """Neurons that work on an image `depth` steps after it is first shown.

    Args:
        neurons: SANA-FE's, in order.
        depth: steps after the image.
        timesteps: of an image.
        samples: images.
    """

    def __init__(self, neurons: Iterable[Any], depth: int, timesteps: int, samples: int) -> None:
        self.neurons, self.depth = list(neurons), depth
        self.timesteps, self.samples = timesteps, samples

    def window(self, step: int) -> tuple[int, int] | None:
        """Image and its time step that the population works on, or None before the first and after the last."""
        image, phase = divmod(step - self.depth, self.timesteps)
        return (image, phase) if 0 <= image < self.samples else None

    @abstractmethod
    def prepare(self, step: int) -> None:
        """Sets what the neurons need before a step."""


class ImagePort(Population):
    """Neurons that fire at every step of an image where its pixel sends a message."""

    def __init__(self, neurons: Iterable[Any], messages: npt.NDArray[np.bool_], timesteps: int) -> None:
        super().__init__(neurons, 0, timesteps, len(messages))
        self.messages = messages
        self.on = np.zeros(len(self.neurons), dtype=bool)

    def prepare(self, step: int) -> None:
        """Shows the next image where one begins, and none after the last."""
        image, phase = divmod(step, self.timesteps)
        if phase or image > self.samples:
            return
        wanted = self.messages[image] if image < self.samples else np.zeros_like(self.on)
        for index in np.flatnonzero(wanted != self.on):
            self.neurons[index].set_attributes(model_attributes={"bias": float(wanted[index])})
        self.on = wanted


class Spiking(Population):
    """Neurons that add up what arrives.

    Args:
        neurons, depth, timesteps, samples: see `Population`.
        keep: 4096ths of the current that a step keeps.
        drive: `(2, samples or 1, neurons)`: synaptic drive and bias of each image, 64 to a weight unit.
    """

    def __init__(
        self, neurons: Iterable[Any], depth: int, keep: int, drive: Int64Array, timesteps: int, samples: int
    ) -> None:
        super().__init__(neurons, depth, timesteps, samples)
        self.keep = keep
        self.synaptic, self.bias = drive
        self.current: Int64Array = np.zeros(len(self.neurons), dtype=np.int64)  # u after the last step

    def prepare(self, step: int) -> None:
        """Sets what the neurons need before a step."""
        at = self.window(step)
        if at is None:
            if step == self.depth + self.samples * self.timesteps:
                self._set(np.zeros_like(self.current), fresh=True)
            return
        image, phase = at
        if phase == 0:
            self.current[:] = 0
        if phase == 0 or self.keep:
            row = image if len(self.bias) > 1 else 0
            self._set(self.synaptic[row] + self.bias[row] + decay(self.current, self.keep), fresh=phase == 0)

    def after(self, step: int, charge: npt.NDArray[np.float64]) -> None:
        """Follows the current; `charge` is what arrived for each neuron, in weight units."""
        at = self.window(step)
        if at is None or not self.keep:
            return
        row = at[0] if len(self.bias) > 1 else 0
        arrived = (charge * UNIT).astype(np.int64)
        self.current = decay(self.current, self.keep) + arrived + self.synaptic[row]

    def _set(self, bias: Int64Array, *, fresh: bool) -> None:
        """The bias of each neuron, 64 to a weight unit, and its potential to zero where an image begins."""
        more = {"potential": 0.0} if fresh else {}
        for neuron, value in zip(self.neurons, (bias / UNIT).tolist(), strict=True):
            neuron.set_attributes(model_attributes={"bias": value, **more})
