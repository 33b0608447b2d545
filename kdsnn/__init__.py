"""KDSNN: one network, every machine, the same spikes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdsnn.models.spiking_copy.spiking import spiking

__all__ = ["__version__", "spiking"]

__version__ = "0.1.0"

LAZY = {"spiking": "kdsnn.models.spiking_copy.spiking"}  # where each function lies: `import kdsnn` imports no torch


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)
