"""The torch target: the integers of the reference on CUDA or on the CPU, exactly."""

from kdsnn.targets.gpu.target import GpuProgram, GpuTarget

__all__ = ["GpuProgram", "GpuTarget"]
