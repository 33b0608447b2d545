"""KDSNN: one network, every machine, the same spikes.

    import kdsnn

    run = kdsnn.distill("mnist5k-2conv").run      # or kdsnn.convert(module, data), kdsnn.quantize("other.nir")
    made = kdsnn.quantize(run)
    kdsnn.evaluate(made, "lava", samples=100)     # every spike and every count compared with the reference
    kdsnn.export(made, "lava", "bundle")
    kdsnn.energy(made, "loihi1")
    kdsnn.compare("runs/before", made)
    kdsnn.report(made)

The command line calls these functions. `import kdsnn` alone imports no torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature

    from kdsnn.models.spiking_copy.spiking import spiking
    from kdsnn.report.page import report
    from kdsnn.steps.compare import compare
    from kdsnn.steps.convert import convert
    from kdsnn.steps.distill import distill
    from kdsnn.steps.energy import energy
    from kdsnn.steps.evaluate import evaluate
    from kdsnn.steps.export import export
    from kdsnn.steps.models import load
    from kdsnn.steps.quantize import quantize

__all__ = [
    "__version__",
    "compare",
    "convert",
    "distill",
    "energy",
    "evaluate",
    "export",
    "load",
    "quantize",
    "report",
    "spiking",
]

__version__ = "0.1.0"

FUNCTIONS = {  # where each lies
    "compare": "kdsnn.steps.compare",
    "convert": "kdsnn.steps.convert",
    "distill": "kdsnn.steps.distill",
    "energy": "kdsnn.steps.energy",
    "evaluate": "kdsnn.steps.evaluate",
    "export": "kdsnn.steps.export",
    "load": "kdsnn.steps.models",
    "quantize": "kdsnn.steps.quantize",
    "report": "kdsnn.report.page",
    "spiking": "kdsnn.models.spiking_copy.spiking",
}
PACKAGES = ("distill", "energy", "export", "report")  # bear the name of a function, and are called as it


def __getattr__(name: str) -> Any:
    if name in PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in FUNCTIONS:
        return _function(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _function(name: str) -> Callable[..., Any]:
    from kdsnn.extras import naming_extras

    with naming_extras():
        found: Callable[..., Any] = getattr(importlib.import_module(FUNCTIONS[name]), name)
    return found


class _CallablePackage(ModuleType):
    """A package that is called as the function of its name: `kdsnn.export(...)` beside `kdsnn.export.nir`."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)

    @property
    def __signature__(self) -> Signature:  # what `inspect` and a notebook ask for
        from inspect import signature

        return signature(self._function)

    @property
    def _function(self) -> Callable[..., Any]:
        return _function(self.__name__.rpartition(".")[2])


def make_callable(package: str) -> None:
    """Lets a package be called as the function of its name; its `__init__` says so."""
    sys.modules[package].__class__ = _CallablePackage
