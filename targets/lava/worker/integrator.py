"""An output that never fires: Lava's LIFReset, whose potential is read at the end of each image."""

from __future__ import annotations

from typing import Any

from lanes import Lanes
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset
from models import from_lava, open_array, window
from recording import Read

__all__ = ["Integrator", "IntegratorModel"]


class Integrator(LIFReset):
    """A LIFReset of the highest threshold."""


class IntegratorModel(PyLifResetModelBitAcc):
    """Lava's own arithmetic, which writes down the potentials after the last step of each image.

    `proc_params` has, besides Lava's, the `depth` of the population, the `lanes`, and `read`, a `Read`.
    """

    implements_process = Integrator  # the decorator lets no class implement another process than its parent does

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.depth: int = proc_params["depth"]
        self.lanes: Lanes = proc_params["lanes"]
        read: Read = proc_params["read"]
        self.shape, self.potentials = tuple(read.shape), open_array(read.potentials)

    def run_spk(self) -> None:
        """Integrates as Lava does, and reads."""
        super().run_spk()
        step = window(self.time_step, self.depth, self.lanes.steps)
        if step is not None and (step + 1) % self.lanes.timesteps == 0:
            lanes = self.lanes.split(self.v, self.shape[0], step)
            self.potentials[self.lanes.images(step)] = from_lava(lanes, self.shape)
