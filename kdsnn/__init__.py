"""KDSNN: one network, every machine, the same spikes."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("kdsnn")
