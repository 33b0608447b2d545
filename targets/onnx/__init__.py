"""The ONNX target: the network as an ONNX model, run by ONNX Runtime on the CPU or on CUDA."""

from kdsnn.targets.onnx.target import OnnxTarget

__all__ = ["OnnxTarget"]
