"""The torch target: the same integers on CUDA or on the CPU, exactly. Torch is imported once it is needed."""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from kdsnn.errors import TargetUnavailableError
from kdsnn.network import Network
from kdsnn.network.features import (
    CLIPPING,
    CURRENT,
    GRADED_INPUT,
    INPUT_IN_TIME,
    LEAK,
    MEMBRANE_READOUT,
    RECURRENCE,
    SUBTRACT_RESET,
)
from kdsnn.targets.base import Availability, Target, Violation
from kdsnn.targets.fitting import overflow_violations

if TYPE_CHECKING:
    from kdsnn.targets.gpu.program import GpuProgram

__all__ = ["GpuTarget"]

DRIVERS = ("libcuda.so.1", "libamdhip64.so")  # of which one is there where torch can find a GPU
ON_THE_CPU = "run on the CPU with --device cpu"


class GpuTarget(Target):
    """torch, exact, on CUDA where there is one.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        arithmetic: of the products: `int8`, `float32`, or `auto`: int8 on a CPU that computes it exactly.
    """

    name = "gpu"
    description = "torch, exact int8 or float32 products, on CUDA or the CPU"
    features = frozenset(
        {LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, CLIPPING, INPUT_IN_TIME, SUBTRACT_RESET, RECURRENCE}
    )

    def __init__(self, device: str = "auto", arithmetic: Literal["auto", "int8", "float32"] = "auto") -> None:
        self.device, self.arithmetic = device, arithmetic

    def probe(self) -> Availability:
        """Whether torch has the device. Imports torch only where a GPU is asked for, or may be there."""
        try:
            found = version("torch")
        except PackageNotFoundError:
            return Availability(False, "torch is not installed", "install kdsnn anew")
        if self.device == "cpu" or (self.device == "auto" and not _has_driver()):
            return Availability(True, f"torch {found} on CPU")
        return _probe_device(self.device)

    def check(self, network: Network) -> list[Violation]:
        """Populations that could leave the range of the hardware's state."""
        return overflow_violations(network)

    def compile(self, network: Network) -> GpuProgram:
        """The network with its weights on the device.

        Raises:
            UsageError: int8 products are asked for, and this device is not known to compute them exactly.
            TargetUnavailableError: torch cannot be imported.
        """
        try:
            from kdsnn.targets.gpu.program import GpuProgram
        except (ImportError, OSError) as error:
            raise TargetUnavailableError(f"torch cannot be imported: {error}", hint="install it anew") from error
        return GpuProgram(network, device=self.device, arithmetic=self.arithmetic)


def _has_driver() -> bool:
    for library in DRIVERS:
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False


def _probe_device(device: str) -> Availability:
    try:
        import torch

        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        torch.zeros(1, device=device)
    except (ImportError, OSError, RuntimeError, AssertionError) as error:
        return Availability(False, f"no device {device!r}: {str(error).splitlines()[0]}", ON_THE_CPU)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    return Availability(True, f"torch {torch.__version__} on {name}")
