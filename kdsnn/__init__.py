"""KDSNN: one network, every machine, the same spikes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdsnn.models.spiking_copy.spiking import spiking
    from kdsnn.steps.convert import convert

__all__ = ["__version__", "convert", "spiking"]

__version__ = "0.1.0"

LAZY = {  # where each function lies: `import kdsnn` alone imports no torch
    "convert": "kdsnn.steps.convert",
    "spiking": "kdsnn.models.spiking_copy.spiking",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)
