"""The flavours of arithmetic in which the ONNX models compute; both are exact."""

from typing import Literal

__all__ = ["Flavour"]

Flavour = Literal["float32", "int8"]
