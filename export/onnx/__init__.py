"""The integer network as ONNX: a whole model, and a model of one time step."""
