"""Distillation losses, a file each: formula and source in its docstring. `kdsnn.choices.LOSSES` lists them."""
