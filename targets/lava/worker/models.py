"""The Lava processes and process models that surround the stock neurons: a source, a recorder, counting synapses.

Lava runs one operating system process for each Lava process. Ours read and write memory-mapped files of their own, for
Lava moves variables element by element. Whatever receives a population's spikes counts them there, at the receiving
end; the first receiver of each population also records it (`listen`), so that recording costs no process of its own.
"""

import numpy as np
from guard import end_with_parent
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

__all__ = ["ImageSource", "Listener", "Recorder", "RecorderModel", "SourceModel"]


class ImageSource(AbstractProcess):
    """Emits each image for T steps, as messages of some bits: `pixel >> (8 - bits)`."""

    def __init__(self, *, shape, images, lanes, bits, name):
        super().__init__(images=images, lanes=lanes, bits=bits, name=name)
        self.s_out = OutPort(shape=shape)


@implements(proc=ImageSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SourceModel(PyLoihiProcessModel):
    """Reads the images from a memory-mapped file; sends zeros after the last one, while the pipeline drains."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8, precision=8)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.images = np.load(proc_params["images"], mmap_mode="r", allow_pickle=False)
        self.lanes = proc_params["lanes"]
        self.shift = 8 - proc_params["bits"]
        self.message = None
        end_with_parent()

    def run_spk(self):
        """Sends the message of this step."""
        step = self.time_step - 1
        if step % self.lanes.timesteps == 0:
            self.message = self.lanes.join(self.images[self.lanes.images(step)] >> self.shift)
        self.s_out.send(self.message)


class Recorder(AbstractProcess):
    """Takes the spikes of a population that no projection takes."""

    def __init__(self, *, shape, listen, name):
        super().__init__(listen=listen, name=name)
        self.s_in = InPort(shape=shape)


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class RecorderModel(PyLoihiProcessModel):
    """Counts and records what it receives."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.listener = Listener(proc_params["listen"])

    def run_spk(self):
        """Receives the spikes of this step."""
        self.listener.hear(self.time_step, self.s_in.recv())


class Listener:
    """Counts and records one population, in the steps in which it works on an image.

    Args:
        listen: `depth` and `shape` of the population, and the `lanes`; `tally`, the file of `(steps, 2)` int64: spikes
            and neurons that reported; `record`, a file of `(samples * T, *shape)` uint8, or None; `progress`, or None.
    """

    def __init__(self, listen):
        self.depth, self.shape, self.lanes = listen["depth"], tuple(listen["shape"]), listen["lanes"]
        self.tally = open_array(listen["tally"])
        self.record = open_array(listen["record"])
        self.progress = open_array(listen["progress"])

    def hear(self, time_step, spikes):
        """Takes the spikes that the population emitted at this step."""
        step = window(time_step, self.depth, self.lanes.steps)
        if step is not None:
            lanes = self.lanes.split(spikes, self.shape[0], step)
            self.tally[step] = np.count_nonzero(lanes), lanes.size
            if self.record is not None:
                self.record[self.lanes.rows(step)] = from_lava(lanes, self.shape)
        if self.progress is not None:
            self.progress[0] = time_step


def open_array(path):
    """A file that main.py made, mapped for writing, or None for None."""
    return None if path is None else np.load(path, mmap_mode="r+", allow_pickle=False)


def window(time_step, depth, steps):
    """Index of this step among those in which a population of this depth works on an image, or None outside."""
    step = time_step - 1 - depth
    return step if 0 <= step < steps else None


def from_lava(lanes, shape):
    """Lava's `(W * H, lanes, C)` as `(lanes, C, H, W)` of this shape; `(1, lanes, N)` as `(lanes, N)`."""
    if len(shape) == 1:
        return lanes[0]
    _, height, width = shape
    return lanes.reshape(width, height, *lanes.shape[1:]).transpose(2, 3, 1, 0)
