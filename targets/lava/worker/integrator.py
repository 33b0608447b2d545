"""An output that never fires: Lava's LIFReset, whose potential is read at the end of each image."""

from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset
from models import from_lava, open_array, window

__all__ = ["Integrator", "IntegratorModel"]


class Integrator(LIFReset):
    """A LIFReset of the highest threshold."""


class IntegratorModel(PyLifResetModelBitAcc):
    """Lava's arithmetic, which writes down the potential after the last step of each image.

    `proc_params["read"]` has the `depth` of the population, `timesteps`, `steps` in all, and `potentials`, a file of
    `(samples, *shape)`.
    """

    implements_process = Integrator  # the decorator lets no class implement another process than its parent does

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.read = proc_params["read"]
        self.potentials = open_array(self.read["potentials"])

    def run_spk(self):
        """Integrates as Lava does, and reads."""
        super().run_spk()
        step = window(self.time_step, self.read["depth"], self.read["steps"])
        if step is not None and (step + 1) % self.read["timesteps"] == 0:
            self.potentials[step // self.read["timesteps"]] = from_lava(self.v, self.potentials.shape[1:])
