"""The torch target: the integers of the reference on CUDA or on the CPU, exactly."""

from kdsnn.targets.gpu.target import GpuTarget

__all__ = ["GpuTarget"]
