"""The functions of torch that map spikes linearly, and what each makes of a stream.

A handler has the parameters of the function that it stands for; its input comes as a stream, all else as torch has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.composition import same_sized
from kdsnn.export.lowering.linear_stream import FloatArray, Stream
from kdsnn.network import Conv2d

if TYPE_CHECKING:
    from kdsnn.export.lowering.tracing import Tracing

__all__ = ["ADVICE", "HANDLERS", "image_mean", "numbers_of", "torch_functions"]

OR_THRESHOLD = 0.5  # with weights of one: fires when any source did
Size = int | tuple[int, ...]


def _conv2d(
    _tracing: Tracing,
    stream: Stream,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Stream:
    kernel = numbers_of(weight)
    if isinstance(padding, str):
        valid = Conv2d(kernel, _pair(stride), (0, 0), _pair(dilation), groups)
        op = same_sized(kernel, _pair(dilation), groups) if padding == "same" else valid
    else:
        op = Conv2d(kernel, _pair(stride), _pair(padding), _pair(dilation), groups)
    return streams.convolve(stream, op, None if bias is None else numbers_of(bias))


def _linear(_tracing: Tracing, stream: Stream, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Stream:
    if len(stream.shape) != 1:
        raise LoweringError(
            f"its input has shape {stream.shape}",
            hint="put a Flatten before it; of vectors in time (N, T, F) say that they are: --in-time, and -T",
        )
    if weight.shape[1] != stream.shape[0]:
        raise LoweringError(f"it takes {weight.shape[1]} inputs and gets {stream.shape[0]}")
    return streams.multiply(stream, numbers_of(weight), None if bias is None else numbers_of(bias))


def _batch_norm(
    _tracing: Tracing,
    stream: Stream,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,  # noqa: ARG001  means something in training only
    eps: float = 1e-5,
) -> Stream:
    if running_mean is None or running_var is None:
        raise LoweringError("it keeps no running statistics, so it depends on the batch")
    if training:
        raise LoweringError("it is in training mode, where it depends on the batch", hint="call .eval()")
    mean, variance = numbers_of(running_mean), numbers_of(running_var)
    gain = np.ones_like(mean) if weight is None else numbers_of(weight)
    shift = np.zeros_like(mean) if bias is None else numbers_of(bias)
    factor = gain / np.sqrt(variance + eps)
    return streams.scale_channels(stream, factor, shift - mean * factor)


def _avg_pool2d(
    _tracing: Tracing,
    stream: Stream,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Stream:
    if ceil_mode or divisor_override or (not count_include_pad and _pair(padding) != (0, 0)):
        raise LoweringError("ceil_mode, divisor_override and count_include_pad=False have no exact counterpart")
    kernel = _pair(kernel_size)
    _check_image(stream)
    return streams.average_pool(stream, kernel, _pair(stride) if stride else kernel, _pair(padding))


def _adaptive_avg_pool2d(_tracing: Tracing, stream: Stream, output_size: Any) -> Stream:
    _check_image(stream)
    height, width = stream.shape[1:]
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size,) * 2
    out = tuple(o or n for o, n in zip(wanted, (height, width), strict=True))
    if height % out[0] or width % out[1]:
        raise LoweringError(f"{out} does not divide the image size {(height, width)}")
    kernel = (height // out[0], width // out[1])
    return streams.average_pool(stream, kernel, kernel)


def image_mean(tracing: Tracing, stream: Stream, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Stream:
    """Over height and width, which is an average pool of the whole image."""
    axes = sorted(d % (len(stream.shape) + 1) for d in ([dim] if isinstance(dim, int) else dim or ()))
    if axes != [2, 3] or len(stream.shape) != 3 or dtype is not None:
        raise LoweringError("a mean over anything but height and width cannot be carried")
    pooled = _adaptive_avg_pool2d(tracing, stream, 1)
    return pooled if keepdim else streams.flatten(pooled)


def _max_pool2d(
    tracing: Tracing,
    stream: Stream,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Stream:
    """Exact on spikes as a population that fires when any cell of its window did (OR)."""
    _check_image(stream)
    if not stream.is_spikes or stream.terms[0].source == tracing.builder.populations[0].name:
        raise LoweringError(
            "its input is not spikes, and only the maximum of spikes is exact", hint="pool after the neuron"
        )
    if ceil_mode or return_indices:
        raise LoweringError("ceil_mode and return_indices have no exact counterpart")
    channels, kernel = stream.shape[0], _pair(kernel_size)
    op = Conv2d(
        np.ones((channels, 1, *kernel)),
        _pair(stride) if stride else kernel,
        _pair(padding),
        _pair(dilation),
        groups=channels,
    )
    place = tracing.place()
    name = tracing.builder.free_name(place.layer if place.kind == "MaxPool2d" else "max_pool2d")
    return tracing.builder.spiking(streams.convolve(stream, op), name, OR_THRESHOLD)


def _dropout(_tracing: Tracing, stream: Stream, p: float = 0.5, training: bool = True, inplace: bool = False) -> Stream:  # noqa: ARG001
    if training and p:
        raise LoweringError(
            "it drops at random: it is in training mode", hint="call .eval(), and F.dropout with training=self.training"
        )
    return stream


def _check_image(stream: Stream) -> None:
    if len(stream.shape) != 3:
        raise LoweringError(f"its input has shape {stream.shape}, and is no image (C, H, W)")


def numbers_of(tensor: torch.Tensor) -> FloatArray:
    """The numbers of a tensor in float64."""
    values: FloatArray = tensor.detach().cpu().to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise LoweringError("it holds a value that is not finite")
    return values


def _pair(value: Size) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def torch_functions(handlers: Mapping[str, Any]) -> dict[Callable[..., Any], Any]:
    """The functions and methods of torch that have these names, each with its handler."""
    owners = (torch, torch.Tensor, F, torch._C._nn)
    return {getattr(owner, name): made for name, made in handlers.items() for owner in owners if hasattr(owner, name)}


LINEAR = {
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "conv2d": _conv2d,
    "dropout": _dropout,
    "dropout1d": _dropout,
    "dropout2d": _dropout,
    "linear": _linear,
    "max_pool2d": _max_pool2d,
}
HANDLERS: dict[Callable[..., Any], Callable[..., Stream]] = torch_functions(LINEAR)

DECIDES = (
    "what a module does must not depend on the numbers that it is shown: decide by its settings, outside of forward"
)
NEURON = "put a spiking neuron in its place: snntorch.Leaky(beta)"
ADVICE = {  # by the name of the operation: what to write instead
    **dict.fromkeys(("__bool__", "__float__", "__int__", "__index__", "item", "tolist", "numpy"), DECIDES),
    **dict.fromkeys(("where", "gt", "lt", "ge", "le", "eq", "ne", "argmax", "max", "min", "topk", "any"), DECIDES),
    **dict.fromkeys(("relu", "relu_", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "softmax"), NEURON),
    **dict.fromkeys(("clamp", "clip", "abs", "sqrt", "exp", "log", "pow", "relu6", "hardtanh"), NEURON),
    "pad": "only zeros can be padded: use the padding of the convolution, with padding_mode='zeros'",
    "__setitem__": "collect the spikes of all steps in a list, and use torch.stack(list)",
    "randn_like": "noise cannot be carried: leave it out where the module does not train",
    "rand_like": "noise cannot be carried: leave it out where the module does not train",
    "permute": "leave images as (B, C, H, W) and time first, (T, B, ...)",
    "transpose": "leave images as (B, C, H, W) and time first, (T, B, ...)",
    "conv1d": "use Conv2d with a kernel of height 1",
    "group_norm": "use BatchNorm: its statistics are fixed once it is trained, so it folds into the weights",
    "layer_norm": "use BatchNorm: its statistics are fixed once it is trained, so it folds into the weights",
    "instance_norm": "use BatchNorm: its statistics are fixed once it is trained, so it folds into the weights",
}
