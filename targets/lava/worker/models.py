"""The Lava processes and process models that surround the stock neurons: a source, a recorder, counting synapses.

Lava runs one operating system process for each Lava process. Ours read and write memory-mapped files of their own, for
Lava moves variables element by element. Whatever receives a population's spikes counts them there, at the receiving
end; the first receiver of each population also records it (`listen`), so that recording costs no process of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from guard import end_with_parent
from lanes import Lanes
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from mapped import Mapped
from recording import Listen

__all__ = ["ImageSource", "Listener", "Recorder", "RecorderModel", "SourceModel"]

Array = npt.NDArray[Any]


class ImageSource(AbstractProcess):
    """Emits each image for T steps, or its T frames in turn, as messages of some bits: `pixel >> (8 - bits)`."""

    def __init__(
        self, *, shape: tuple[int, ...], images: str, lanes: Lanes, bits: int, static: bool, name: str
    ) -> None:
        super().__init__(images=images, lanes=lanes, bits=bits, static=static, name=name)
        self.s_out = OutPort(shape=shape)


@implements(proc=ImageSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SourceModel(PyLoihiProcessModel):
    """Reads the images from a memory-mapped file; sends zeros after the last one, while the pipeline drains."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8, precision=8)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.images = Mapped(proc_params["images"], "r")
        self.lanes: Lanes = proc_params["lanes"]
        self.shift = 8 - proc_params["bits"]
        self.static: bool = proc_params["static"]
        self.message: Array | None = None
        end_with_parent()

    def run_spk(self) -> None:
        """Sends the message of this step."""
        step = self.time_step - 1
        within = step % self.lanes.timesteps
        if within == 0 or not self.static:
            images = self.images.array[self.lanes.images(step)]
            shown = images if self.static else images[:, within]
            self.message = self.lanes.join(shown >> self.shift)
            self.images.used(shown.size)
        self.s_out.send(self.message)


class Recorder(AbstractProcess):
    """Takes the spikes of a population that no projection takes."""

    def __init__(self, *, shape: tuple[int, ...], listen: Listen, name: str) -> None:
        super().__init__(listen=listen, name=name)
        self.s_in = InPort(shape=shape)


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RecorderModel(PyLoihiProcessModel):
    """Counts and records what it receives."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.listener = Listener(proc_params["listen"])

    def run_spk(self) -> None:
        """Receives the spikes of this step."""
        self.listener.hear(self.time_step, self.s_in.recv())


class Listener:
    """Counts and records one population, in the steps in which it works on an image.

    Args:
        listen: what it writes, and where.
    """

    def __init__(self, listen: Listen) -> None:
        self.depth, self.shape, self.lanes = listen.depth, tuple(listen.shape), listen.lanes
        self.tally = open_array(listen.tally)
        self.record = None if listen.record is None else Mapped(listen.record, "r+")
        self.progress = None if listen.progress is None else open_array(listen.progress)

    def hear(self, time_step: int, spikes: Array) -> None:
        """Takes the spikes that the population emitted at this step."""
        step = window(time_step, self.depth, self.lanes.steps)
        if step is not None:
            lanes = self.lanes.split(spikes, self.shape[0], step)
            self.tally[step] = np.count_nonzero(lanes), lanes.size
            if self.record is not None:
                self.record.array[self.lanes.rows(step)] = from_lava(lanes, self.shape)
                self.record.used(lanes.size)
        if self.progress is not None:
            self.progress[0] = time_step


def open_array(path: str) -> Array:
    """A file that main.py made, mapped for writing."""
    return Mapped(path, "r+").array


def window(time_step: int, depth: int, steps: int) -> int | None:
    """Index of this step among those in which a population of this depth works on an image, or None outside."""
    step = time_step - 1 - depth
    return step if 0 <= step < steps else None


def from_lava(lanes: Array, shape: Sequence[int]) -> Array:
    """Lava's `(W * H, lanes, C)` as `(lanes, C, H, W)` of this shape; `(1, lanes, N)` as `(lanes, N)`."""
    if len(shape) == 1:
        flat: Array = lanes[0]
        return flat
    _, height, width = shape
    return lanes.reshape(width, height, *lanes.shape[1:]).transpose(2, 3, 1, 0)
