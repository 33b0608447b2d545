"""Process models of Lava's Conv and Dense that count synaptic events as they receive them: ours, and Intel's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from arithmetic import Convolution, EventSum, MatrixProduct, Pooling, convolution, matrix
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.proc.conv.models import PyConvModelFixed
from lava.proc.dense.models import PyDenseModelBitAcc
from lava.utils.weightutils import clip_weights, truncate_weights
from models import Listener, open_array, window
from recording import Count
from windows import FanOut, Windows

__all__ = ["FastConv", "FastDense", "StockConv", "StockDense"]

INT24 = 2**23
Array = npt.NDArray[Any]


class _Counter:
    """Writes the events of a projection, one row a step: of spikes, then of graded messages, all and of nonzero weight.

    Args:
        count: what it writes, and where.

    Attributes:
        fan_out: what each message reaches; set before the first step, when the weights are there.
    """

    fan_out: FanOut

    def __init__(self, count: Count) -> None:
        self.depth, self.channels = count.depth, count.channels
        self.lanes, self.graded, self.largest = count.lanes, count.graded, count.largest
        self.recurrent = count.recurrent
        self.rows = open_array(count.events)
        self.listener = Listener(count.listen) if count.listen else None

    def hear(self, time_step: int, messages: Array) -> Array | None:
        """Takes what the source sent at this step, and gives what of it arrives.

        That is nothing of an image's last step where a population feeds itself, for it would arrive in the next image.
        None where the source worked on no image, for then nobody looks at the sums.
        """
        if self.listener:
            self.listener.hear(time_step, messages)
        step = window(time_step, self.depth, self.lanes.steps)
        if step is None:
            return None
        if self.recurrent and (step + 1) % self.lanes.timesteps == 0:
            return np.zeros_like(messages)
        dense, effective = self.fan_out.events(self.lanes.alive(messages, self.channels, step))
        self.rows[step] = (0, 0, dense, effective) if self.graded else (dense, effective, 0, 0)
        return messages


class _WideConv(PyConvModelFixed):
    """The stock types are int8, too narrow for more than 127 groups."""

    kernel_size: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    stride: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    padding: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    dilation: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=8)
    groups: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.counter = _Counter(proc_params["count"])

    def windows(self) -> Windows:
        """Where it looks; counts by them from now on."""
        stride, padding, dilation = (tuple(int(n) for n in v) for v in (self.stride, self.padding, self.dilation))
        looks = partial(Windows, self.proc_params["input_shape"], self.weight.shape[1:3], stride, padding, dilation)
        groups, lanes = int(self.groups[0]), self.counter.lanes.count
        self.counter.fan_out = FanOut.of_convolution(self.weight, looks(groups), lanes)
        return looks(groups, lanes)


class FastConv(_WideConv):
    """Lava's fixed-point Conv: the same sums and the same 24 bits, by a matrix product. It counts."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.uint8, precision=8)
    a_buf: Array

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.convolution: Convolution | Pooling | None = None
        self.before: Array | None = None

    def run_spk(self) -> None:
        """Sends the input summed at the step before, then sums the messages of this step."""
        kernel = self._prepare() if self.convolution is None else self.convolution
        self.a_out.send(self.a_buf)
        messages = self.counter.hear(self.time_step, self.s_in.recv())
        if messages is None:
            return
        if self.graded and self.before is not None and np.array_equal(messages, self.before):
            return  # an image is shown for T steps, and summed once; so is a frame that comes again
        self.before = messages
        total = kernel.sums(messages if self.graded else messages != 0)
        self.a_buf = total if self.fits else self.clamp_precision(total)

    def _prepare(self) -> Convolution | Pooling:
        largest = self.counter.largest
        self.convolution = convolution(self.weight, self.windows(), largest)
        self.graded = self.num_message_bits.item() > 0
        rows = np.abs(self.weight.reshape(len(self.weight), -1).astype(np.int64)).sum(axis=1)
        self.fits = int(rows.max()) * largest < INT24
        return self.convolution


class FastDense(PyDenseModelBitAcc):
    """Lava's bit-accurate Dense: the same clipped and truncated weights and the same sums, by events. It counts."""

    a_buff: Array

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.counter = _Counter(proc_params["count"])
        self.matrix: EventSum | MatrixProduct | None = None

    def run_spk(self) -> None:
        """Sends the input summed at the step before, then sums the messages of this step."""
        connection = self._prepare() if self.matrix is None else self.matrix
        self.a_out.send(self.a_buff)
        messages = self.counter.hear(self.time_step, self.s_in.recv())
        if messages is None:
            return
        lanes, channels = self.counter.lanes.count, self.counter.channels
        apart = (messages if self.graded else messages != 0).reshape(-1, lanes, channels)
        total = np.concatenate([connection.sums(apart[:, lane].reshape(-1)) for lane in range(lanes)])
        shift = self.weight_exp
        self.a_buff = np.left_shift(total, shift) if shift > 0 else np.right_shift(total, -shift)

    def _prepare(self) -> EventSum | MatrixProduct:
        weights = held_weights(self)
        self.counter.fan_out = FanOut.of_matrix(weights, self.counter.channels, self.counter.lanes.count)
        self.graded = self.num_message_bits.item() > 0
        self.matrix = matrix(weights, self.counter.largest)
        self.weights = weights[:0].copy()  # one copy in memory is enough
        return self.matrix


class _Overheard:
    """A port whose messages are counted on their way to the stock model."""

    def __init__(self, port: Any, hear: Callable[[Array], object]) -> None:
        self.port, self.hear = port, hear

    def recv(self) -> Array:
        """The messages of this step."""
        messages: Array = self.port.recv()
        self.hear(messages)
        return messages


class StockConv(_WideConv):
    """Lava's fixed-point Conv itself, counted."""

    s_in: Any

    def run_spk(self) -> None:
        """What Lava does."""
        if not isinstance(self.s_in, _Overheard):
            self.windows()
            self.s_in = _Overheard(self.s_in, lambda messages: self.counter.hear(self.time_step, messages))
        super().run_spk()


class StockDense(PyDenseModelBitAcc):
    """Lava's bit-accurate Dense itself, counted."""

    s_in: Any

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.counter = _Counter(proc_params["count"])

    def run_spk(self) -> None:
        """What Lava does."""
        if not isinstance(self.s_in, _Overheard):
            self.counter.fan_out = FanOut.of_matrix(held_weights(self), self.counter.channels, self.counter.lanes.count)
            self.s_in = _Overheard(self.s_in, lambda messages: self.counter.hear(self.time_step, messages))
        super().run_spk()


def held_weights(dense: PyDenseModelBitAcc) -> Array:
    """The weights that a Dense model of Lava makes of those it is given."""
    mode = dense.proc_params["sign_mode"]
    weights: Array = truncate_weights(clip_weights(dense.weights, mode, num_bits=8), mode, 8)
    return weights
