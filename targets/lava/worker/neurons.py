"""A process model of Lava's LIFReset: faster without leak and current, and with resets that Lava's own does not have.

Loihi 2's neurons are programs, so that a spike may take what it wants from the potential.
"""

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

    Where `proc_params` has a `reset_by`, a spike takes that from the potential, and does not reset it to zero.

    Neurons with a leak or a current of their own take the stock arithmetic; so does a step in which u would wrap. While
    the pipeline fills or drains the population works on no image, is reset before the next, and stays silent.
    """

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.uint8, precision=1)  # a quarter of the stock's messages

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.depth: int = proc_params["depth"]
        self.lanes: Lanes = proc_params["lanes"]
        self.reset_by: int | None = proc_params["reset_by"]
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
        fired = np.logical_not(silent).view(np.uint8)
        if self.reset_by is None:
            self.v *= silent
        elif self.reset_by:
            self.v -= fired * np.int32(self.reset_by)
        self.s_out.send(fired)

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
