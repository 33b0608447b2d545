"""Process models of Lava's Conv and Dense that count synaptic events as they receive them."""

import numpy as np
from arithmetic import Convolution, MatrixProduct
from lava.magma.core.model.py.type import LavaPyType
from lava.proc.conv import utils as conv_utils
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.utils.weightutils import clip_weights, truncate_weights
from models import Listener, open_array, window

__all__ = ["CountingConv", "CountingDense", "StockConv"]

INT24 = 2**23


class _Counter:
    """Writes the events of a projection, one row a step: all, of nonzero weight, of graded messages.

    Args:
        count: `depth` of the source, `steps`, `graded`, `largest` message, `events`, a file of `(steps, 3)` int64, and
            `listen`, what `Listener` takes, or None.
    """

    def __init__(self, count):
        self.depth, self.steps, self.graded = count["depth"], count["steps"], count["graded"]
        self.rows = open_array(count["events"])
        self.listener = Listener(count["listen"]) if count["listen"] else None

    def hear(self, time_step, messages):
        """Takes what arrived at this step."""
        if self.listener:
            self.listener.hear(time_step, messages)

    def add(self, time_step, dense, effective):
        """Writes the events of this step."""
        step = window(time_step, self.depth, self.steps)
        if step is not None:
            self.rows[step] = (0, 0, dense) if self.graded else (dense, effective, 0)


class CountingConv(PyConvModelFixed):
    """Lava's fixed-point Conv: the same sums and the same 24 bits, by a matrix product. It counts."""

    # the stock types are int8, too narrow for more than 127 groups
    kernel_size: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    stride: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    padding: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    dilation: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    groups: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.counter = _Counter(proc_params["count"])
        self.convolution = None

    def run_spk(self):
        """Sends the input summed at the step before, then sums the messages of this step."""
        if self.convolution is None:
            self._prepare()
        self.a_out.send(self.a_buf)
        messages = self.s_in.recv()
        self.counter.hear(self.time_step, messages)
        graded = self.num_message_bits.item() > 0
        if not graded:
            messages = messages.astype(bool)
        self.convolution.load(messages)
        self.a_buf = self.sums(messages)
        self.counter.add(self.time_step, *self.convolution.events(binary=not graded))

    def sums(self, messages):  # noqa: ARG002  the stock arithmetic reads them
        """The synaptic input of the loaded messages, wrapped at 24 bits as the stock model does."""
        total = self.convolution.sums()
        return total if self.fits else self.clamp_precision(total)

    def _prepare(self):
        largest = self.proc_params["count"]["largest"]
        geometry = [tuple(int(n) for n in v) for v in (self.stride, self.padding, self.dilation)]
        shape = self.proc_params["input_shape"]
        self.convolution = Convolution(self.weight, shape, *geometry, int(self.groups[0]), largest)
        rows = np.abs(self.weight.reshape(len(self.weight), -1).astype(np.int64)).sum(axis=1)
        self.fits = int(rows.max()) * largest < INT24


class StockConv(CountingConv):
    """Lava's fixed-point Conv with its own arithmetic, counted."""

    def sums(self, messages):
        """The synaptic input, by Lava's own function."""
        geometry = self.kernel_size, self.stride, self.padding, self.dilation
        return self.clamp_precision(conv_utils.conv(messages, self.weight, *geometry, self.groups[0]))


class CountingDense(PyDenseModelBitAcc):
    """Lava's bit-accurate Dense: the same clipped and truncated weights and the same sums, in floats. It counts."""

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.counter = _Counter(proc_params["count"])
        self.product = None

    def run_spk(self):
        """Sends the input summed at the step before, then sums the messages of this step."""
        if self.product is None:
            self._prepare()
        self.a_out.send(self.a_buff)
        messages = self.s_in.recv()
        self.counter.hear(self.time_step, messages)
        if self.num_message_bits.item() == 0:
            messages = messages.astype(bool)
        total = self.product.sums(messages)
        shift = self.weight_exp
        self.a_buff = np.left_shift(total, shift) if shift > 0 else np.right_shift(total, -shift)
        self.counter.add(self.time_step, *self.product.events(messages))

    def _prepare(self):
        mode = self.proc_params["sign_mode"]
        weights = truncate_weights(clip_weights(self.weights, mode, num_bits=8), mode, 8)
        self.product = MatrixProduct(weights, self.proc_params["count"]["largest"])
        self.weights = weights[:0].copy()  # one copy in memory is enough
