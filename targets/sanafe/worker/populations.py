"""Populations on the chip: what the worker sets before a step, since SANA-FE's neurons have no such thing of their own.

SANA-FE's neuron keeps `v * (4096 - decay_v) / 4096`, cut to 1/64 towards zero, adds the bias and what arrived, and
fires above its threshold: in weight units the very equation of `kdsnn.network`, without the current u. What is missing
is set from outside, with the bias: at the first step of an image, `v = 0`; what grey levels bring; where a current
keeps something, what it kept, computed from the charge that SANA-FE says has arrived; and where a population feeds
itself, at the first step of an image, less what its spikes of the image before have brought. A spike takes all of the
potential, the threshold or nothing by itself; any other amount is taken from the potential that SANA-FE says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Drive", "ImagePort", "Loop", "Population", "Spiking", "decay"]

UNIT = 64.0  # to a weight unit
MOST = 2**24  # whole numbers up to this are exact in single precision, in which SANA-FE takes values
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

    Attributes:
        fired: those that did at the step before.
    """

    def __init__(self, neurons: Iterable[Any], depth: int, timesteps: int, samples: int) -> None:
        self.neurons, self.depth = list(neurons), depth
        self.timesteps, self.samples = timesteps, samples
        self.fired: list[int] = []

    def window(self, step: int) -> tuple[int, int] | None:
        """Image and its time step that the population works on, or None before the first and after the last."""
        image, phase = divmod(step - self.depth, self.timesteps)
        return (image, phase) if 0 <= image < self.samples else None

    @abstractmethod
    def prepare(self, step: int) -> None:
        """Sets what the neurons need before a step."""


class ImagePort(Population):
    """Neurons that fire at every step of an image where its pixel sends a message.

    Args:
        neurons, timesteps: see `Population`.
        messages: `(samples, T, neurons)`, or with T = 1 where every step of an image sends the same.
    """

    def __init__(self, neurons: Iterable[Any], messages: npt.NDArray[np.bool_], timesteps: int) -> None:
        super().__init__(neurons, 0, timesteps, len(messages))
        self.messages, self.static = messages, messages.shape[1] == 1
        self.on = np.zeros(len(self.neurons), dtype=bool)

    def prepare(self, step: int) -> None:
        """Shows the next image where one begins, or the frame of this step, and none after the last."""
        image, phase = divmod(step, self.timesteps)
        if image > self.samples or (self.static and phase):
            return
        shown = self.messages[image, 0 if self.static else phase] if image < self.samples else np.zeros_like(self.on)
        for index in np.flatnonzero(shown != self.on):
            self.neurons[index].set_attributes(model_attributes={"bias": float(shown[index])})
        self.on = shown


@dataclass(frozen=True)
class Drive:
    """What enters neurons beside spikes, 64 to a weight unit.

    Attributes:
        synaptic: `(samples or 1, T or 1, neurons)`: of grey levels, into the current.
        bias: `(neurons,)`, into the potential.
    """

    synaptic: npt.NDArray[np.int32]
    bias: Int64Array

    @property
    def changes(self) -> bool:
        """Whether it does so within an image."""
        return len(self.synaptic[0]) > 1

    def of(self, image: int, phase: int) -> Int64Array:
        """The synaptic part at a step of an image."""
        steps = self.synaptic[image if len(self.synaptic) > 1 else 0]
        entering: Int64Array = steps[phase if self.changes else 0].astype(np.int64)
        return entering


@dataclass(frozen=True)
class Loop:
    """Synapses of a population onto itself: source, target and weight of each."""

    sources: Int64Array
    targets: Int64Array
    weights: Int64Array

    def charge(self, fired: list[int], neurons: int) -> Int64Array:
        """What the spikes of these bring to each neuron, 64 to a weight unit."""
        brought = np.zeros(neurons, dtype=np.int64)
        carry = np.isin(self.sources, fired)
        np.add.at(brought, self.targets[carry], self.weights[carry] * int(UNIT))
        return brought


class Spiking(Population):
    """Neurons that add up what arrives.

    Args:
        neurons, depth, timesteps, samples: see `Population`.
        keep: 4096ths of the current that a step keeps.
        drive: what enters beside spikes.
        loop: synapses onto itself, or None.
        taken: by a spike from the potential, 64 to a weight unit, where SANA-FE's own do not take it; else None.
    """

    def __init__(
        self,
        neurons: Iterable[Any],
        depth: int,
        timesteps: int,
        samples: int,
        *,
        keep: int,
        drive: Drive,
        loop: Loop | None,
        taken: int | None,
    ) -> None:
        super().__init__(neurons, depth, timesteps, samples)
        self.keep, self.drive, self.loop, self.taken = keep, drive, loop, taken
        self.end = depth + samples * timesteps
        nothing = np.zeros(len(self.neurons), dtype=np.int64)
        self.current, self.echo, self.given = nothing, nothing, nothing  # u after the last step; see `prepare`; bias

    def prepare(self, step: int) -> None:
        """Sets what the neurons need before a step."""
        at = self.window(step)
        begins = (at is not None and at[1] == 0) or step == self.end
        if begins:
            self.current = np.zeros_like(self.current)
        self.echo = np.zeros_like(self.current)  # what the image before has sent to this one
        if begins and self.loop is not None:
            self.echo = self.loop.charge(self.fired, len(self.neurons))
        if at is not None and (begins or self.keep or self.drive.changes or self.loop is not None):
            kept = decay(self.current, self.keep)
            self._set(self.drive.of(*at) + self.drive.bias + kept - self.echo, fresh=begins)
        elif step in (self.end, self.end + 1):
            self._set(-self.echo, fresh=True)

    def after(self, step: int, charge: npt.NDArray[np.float64]) -> None:
        """Follows the current; `charge` is what arrived for each neuron, in weight units."""
        at = self.window(step)
        if at is None or not self.keep:
            return
        arrived = (charge * UNIT).astype(np.int64) - self.echo
        self.current = decay(self.current, self.keep) + arrived + self.drive.of(*at)

    def take(self, potentials: npt.NDArray[np.float64]) -> None:
        """Takes from the potentials, given in weight units, what the spikes of this step take."""
        for index in self.fired if self.taken is not None else ():
            left = float(potentials[index]) - (self.taken or 0) / UNIT
            self.neurons[index].set_attributes(model_attributes={"potential": left})

    def _set(self, bias: Int64Array, *, fresh: bool) -> None:
        """The bias of each neuron, 64 to a weight unit, and its potential to zero where an image begins."""
        if np.abs(bias).max() > MOST:
            raise OverflowError(f"a neuron needs a bias of {np.abs(bias).max()}, and SANA-FE takes {MOST} exactly")
        more = {"potential": 0.0} if fresh else {}
        for index in range(len(bias)) if fresh else np.flatnonzero(bias != self.given).tolist():
            self.neurons[index].set_attributes(model_attributes={"bias": bias[index] / UNIT, **more})
        self.given = bias
