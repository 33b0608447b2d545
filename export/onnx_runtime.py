"""ONNX Runtime, the one place where it is imported: what it would tell its makers is off before it begins."""

from __future__ import annotations

import os
from types import ModuleType

__all__ = ["TELEMETRY", "onnx_runtime"]

TELEMETRY = "ORT_DISABLE_TELEMETRY"  # read once, as the library is loaded


def onnx_runtime() -> ModuleType:
    """The module `onnxruntime`, without telemetry, unless ORT_DISABLE_TELEMETRY is set to something else.

    Releases since 1.32 write a device id into the user's cache folder and send events to Microsoft.

    Raises:
        ImportError: it is not installed, or broken.
    """
    os.environ.setdefault(TELEMETRY, "1")
    import onnxruntime

    return onnxruntime  # type: ignore[no-any-return]
