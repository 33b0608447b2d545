"""An output that never fires: Lava's LIFReset, whose potential is read at the end of each image."""

from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset
from models import from_lava, open_array, window

__all__ = ["Integrator", "IntegratorModel"]


class Integrator(LIFReset):
    """A LIFReset of the highest threshold."""


class IntegratorModel(PyLifResetModelBitAcc):
    """Lava's own arithmetic, which writes down the potentials after the last step of each image.

    `proc_params` has, besides Lava's, the `depth` of the population, the `lanes`, and `read`: the `shape` of the
    population in one lane, and `potentials`, a file of `(samples, *shape)`.
    """

    implements_process = Integrator  # the decorator lets no class implement another process than its parent does

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.depth, self.lanes = proc_params["depth"], proc_params["lanes"]
        self.shape = tuple(proc_params["read"]["shape"])
        self.potentials = open_array(proc_params["read"]["potentials"])

    def run_spk(self):
        """Integrates as Lava does, and reads."""
        super().run_spk()
        step = window(self.time_step, self.depth, self.lanes.steps)
        if step is not None and (step + 1) % self.lanes.timesteps == 0:
            lanes = self.lanes.split(self.v, self.shape[0], step)
            self.potentials[self.lanes.images(step)] = from_lava(lanes, self.shape)
