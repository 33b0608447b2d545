"""A process model of Lava's LIFReset for the neurons that most networks have: no leak, and no memory of the current."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from lanes import Lanes
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.proc.lif.models import PyLifResetModelBitAcc
from models import window

__all__ = ["FastLif"]

Silent = npt.NDArray[np.bool_]  # neurons that do not fire at this step


class FastLif(PyLifResetModelBitAcc):
    """Lava's bit-accurate LIFReset: the same states and spikes, in place and in 32 bits where no bit is lost.

    Neurons with a leak or a current of their own take the stock arithmetic; so does a step in which u would wrap. While
    the pipeline fills or drains the population works on no image, is reset before the next, and stays silent.
    """

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8, precision=1)  # a quarter of the stock's messages

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.depth: int = proc_params["depth"]
        self.lanes: Lanes = proc_params["lanes"]
        self.silent: Silent | None = None

    def run_spk(self) -> None:
        """Receives the synaptic input of this step, and sends the spikes."""
        received = self.a_in.recv()
        if window(self.time_step, self.depth, self.lanes.steps) is None:
            self.s_out.send(np.zeros(self.v.shape, np.uint8))
            return
        if self.time_step % self.reset_interval == self.reset_offset:
            self.u[:] = 0
            self.v[:] = 0
        silent = self._prepare() if self.silent is None else self.silent
        if self.forgets and self._fits(received):
            self._integrate(received)
        else:
            self.subthr_dynamics(activation_in=received)
        np.less_equal(self.v, self.effective_vth, out=silent)
        self.v *= silent
        self.s_out.send(np.logical_not(silent).view(np.uint8))

    def _prepare(self) -> Silent:
        self.scale_bias()
        self.scale_threshold()
        self.biased = bool(np.any(self.effective_bias))
        unity = self.decay_unity
        self.forgets = int(self.du) + self.ds_offset == unity and int(self.dv) + self.dm_offset == 0
        self.silent = np.zeros(self.v.shape, bool)
        return self.silent

    def _fits(self, received: npt.NDArray[np.int32]) -> bool:
        """Whether the input, 64 to a weight unit, is inside the 24 bits of u."""
        limit = self.max_uv_val >> self.act_shift
        return bool(-limit < received.min() and received.max() < limit)

    def _integrate(self, received: npt.NDArray[np.int32]) -> None:
        """The dynamics without decays: u is the input alone, and v adds it up. Each sum stays far inside 32 bits."""
        np.left_shift(received, self.act_shift, out=self.u, casting="unsafe")
        self.v += self.u
        if self.biased:
            self.v += self.effective_bias
        np.clip(self.v, 1 - self.max_uv_val, self.max_uv_val - 1, out=self.v)
