"""KDSNN: one network, every machine, the same spikes."""

__all__ = ["__version__"]

__version__ = "0.1.0"
