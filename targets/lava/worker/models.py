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

    def __init__(self, *, shape, images, timesteps, bits, name):
        super().__init__(images=images, timesteps=timesteps, bits=bits, name=name)
        self.s_out = OutPort(shape=shape)


@implements(proc=ImageSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SourceModel(PyLoihiProcessModel):
    """Reads the images from a memory-mapped file; sends zeros after the last one, while the pipeline drains."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.images = np.load(proc_params["images"], mmap_mode="r", allow_pickle=False)
        self.timesteps = proc_params["timesteps"]
        self.shift = 8 - proc_params["bits"]
        self.message = None
        end_with_parent()

    def run_spk(self):
        """Sends the message of this step."""
        image, step = divmod(self.time_step - 1, self.timesteps)
        if step == 0:
            pixels = self.images[image] if image < len(self.images) else np.zeros_like(self.images[0])
            self.message = np.ascontiguousarray(to_lava(pixels >> self.shift), dtype=np.int32)
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
        listen: `depth` of the population and its `steps` in all; `tally`, the file of `(steps, 2)` int64: spikes and
            neurons that reported; `record`, a file of `(steps, *shape)` uint8, or None; `progress`, or None.
    """

    def __init__(self, listen):
        self.depth, self.steps = listen["depth"], listen["steps"]
        self.tally = open_array(listen["tally"])
        self.record = open_array(listen["record"])
        self.progress = open_array(listen["progress"])

    def hear(self, time_step, spikes):
        """Takes the spikes that the population emitted at this step."""
        step = window(time_step, self.depth, self.steps)
        if step is not None:
            self.tally[step] = np.count_nonzero(spikes), spikes.size
            if self.record is not None:
                self.record[step] = from_lava(spikes, self.record.shape[1:])
        if self.progress is not None:
            self.progress[0] = time_step


def open_array(path):
    """A file that main.py made, mapped for writing, or None for None."""
    return None if path is None else np.load(path, mmap_mode="r+", allow_pickle=False)


def window(time_step, depth, steps):
    """Index of this step among those in which a population of this depth works on an image, or None outside."""
    step = time_step - 1 - depth
    return step if 0 <= step < steps else None


def to_lava(array):
    """`(C, H, W)` as Lava's `(W, H, C)`; one axis as it is."""
    return array.transpose(2, 1, 0) if array.ndim == 3 else array


def from_lava(array, shape):
    """Lava's `(W, H, C)`, flat or not, as `(C, H, W)` of this shape; one axis as it is."""
    return array.reshape(shape[::-1]).transpose(2, 1, 0) if len(shape) == 3 else array
