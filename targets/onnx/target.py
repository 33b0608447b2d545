"""The ONNX target: the network as an ONNX model, run by ONNX Runtime, which is imported once it is needed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from kdsnn.errors import install_command
from kdsnn.export.onnx.flavours import Flavour
from kdsnn.export.onnx_runtime import onnx_runtime
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
from kdsnn.targets.base import Availability, Files, Target, Teacher, Violation
from kdsnn.targets.fitting import overflow_violations

if TYPE_CHECKING:
    from kdsnn.targets.onnx.program import OnnxProgram

__all__ = ["PROVIDERS", "OnnxTarget"]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxTarget(Target):
    """ONNX Runtime.

    Args:
        device: `cpu` or `cuda` (which takes the package onnxruntime-gpu).
        flavour: `float32` or `int8`; both are exact on the CPU. CUDA takes `int8` only where it has the kernels.
    """

    name = "onnx"
    description = "ONNX Runtime, exact float32 or int8 arithmetic"
    features = frozenset(
        {LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, CLIPPING, INPUT_IN_TIME, SUBTRACT_RESET, RECURRENCE}
    )

    def __init__(self, device: Literal["cpu", "cuda"] = "cpu", flavour: Flavour = "float32") -> None:
        self.device, self.flavour = device, flavour

    def probe(self) -> Availability:
        """Whether ONNX Runtime is installed, with the device. Imports it only for CUDA."""
        found = _installed()
        if found is None:
            return Availability(False, "onnxruntime is not installed", install_command("onnx"))
        if self.device == "cuda":
            try:
                onnxruntime = onnx_runtime()
            except ImportError as error:
                return Availability(False, f"onnxruntime cannot be imported: {error}", "install it anew")
            if PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
                return Availability(False, "ONNX Runtime has no cuda here", "install onnxruntime-gpu")
        return Availability(True, f"onnxruntime {found} on {self.device}, {self.flavour}")

    def check(self, network: Network) -> list[Violation]:
        """Populations that could leave the range of the hardware's state."""
        return overflow_violations(network)

    def compile(self, network: Network) -> OnnxProgram:
        """The network as a session of ONNX Runtime."""
        from kdsnn.targets.onnx.program import OnnxProgram

        return OnnxProgram(network, self.device, self.flavour)

    def write_files(
        self, network: Network, images: npt.NDArray[np.uint8], folder: Path, teacher: Teacher | None
    ) -> Files:
        """Writes `model.onnx`, `step.onnx`, and `teacher.onnx` where there is a teacher; see `files.py`."""
        from kdsnn.targets.onnx.files import write_models

        return write_models(network, images, folder, teacher, device=self.device, flavour=self.flavour)


def _installed() -> str | None:
    """The version of ONNX Runtime that is installed, without an import."""
    for package in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return version(package) if find_spec("onnxruntime") else None
        except PackageNotFoundError:
            continue
    return None
