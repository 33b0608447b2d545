"""Lowering: from a trained student to a float network in spiking normal form.

The model's torch.fx graph is walked once. Every linear layer folds into the stream that flows through it (see
`linear_stream.py`); every spiking layer ends a stream as a population with projections (see `network_builder.py`).
Dispatch is by layer type: `HANDLERS`. What is not in it is refused by name.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import snntorch
import torch
from torch import fx, nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.composition import same_sized
from kdsnn.export.lowering.linear_stream import FloatArray, Stream
from kdsnn.export.lowering.network_builder import Builder
from kdsnn.models.neurons import MultiStep, Normalize, Repeat
from kdsnn.network import Conv2d, Input, Network, Population

__all__ = ["HANDLERS", "lower"]

INPUT, READOUT = "input", "readout"
PIXEL_SCALE = 255.0  # a student sees pixels from 0 to 1
OR_THRESHOLD = 0.5  # with weights of one: fires when any source did


def lower(
    model: nn.Module,
    *,
    input_shape: tuple[int, int, int],
    timesteps: int,
    labels: Sequence[str],
    name: str = "network",
    provenance: Mapping[str, str] | None = None,
) -> Network:
    """The float network that computes what the model computes, spike for spike.

    Args:
        model: a chain or acyclic graph of the layers in `HANDLERS`, in eval mode. It maps images in [0, 1],
            `(B, C, H, W)`, to the spikes of its last layer. Where that is not a spiking layer, the output integrates
            what it makes at every step, without a leak, and its potential after the last is the score.
        input_shape: `(C, H, W)` of an image.
        timesteps: T.
        labels: name of each output neuron.
        name: of the network.
        provenance: where it comes from; carried along, without influence on the fingerprint.

    Raises:
        LoweringError: the model holds a layer that cannot be carried exactly.
    """
    if model.training:
        raise LoweringError("the model is in training mode, where BatchNorm depends on the batch", hint="call .eval()")
    walk = Builder([Population(INPUT, input_shape, Input(bits=8))], input_scale=1 / PIXEL_SCALE)
    graph = _Tracer().trace(model)
    modules = dict(model.named_modules())
    values: dict[fx.Node, Stream] = {}
    result: Stream | None = None
    for node in graph.nodes:
        if node.op == "output":
            result = values[_only_input(node)]
        else:
            values[node] = _lower_node(walk, node, modules, values)
    if result is None or (result.is_spikes and result.terms[0].source != walk.populations[-1].name):
        raise LoweringError("the output of the model is not that of its last spiking layer")
    if not result.is_spikes or len(walk.populations) == 1:
        walk.spiking(result, READOUT, inf)
    return Network(
        name=name,
        populations=tuple(walk.populations),
        projections=tuple(walk.projections),
        timesteps=timesteps,
        labels=tuple(labels),
        integer=False,
        provenance=dict(provenance or {}),
    )


class _Tracer(fx.Tracer):
    """Takes the layers that have a handler as they are, and looks inside all others."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the graph."""
        return _handler(m) is not None or super().is_leaf_module(m, module_qualified_name)


def _lower_node(
    walk: Builder, node: fx.Node, modules: Mapping[str, nn.Module], values: Mapping[fx.Node, Stream]
) -> Stream:
    if node.op == "placeholder":
        return streams.spikes_of(INPUT, walk.populations[0].shape)
    if node.op == "call_function" and node.target in (operator.add, operator.iadd, torch.add):
        first, second = (values[argument] for argument in node.args if isinstance(argument, fx.Node))
        return streams.add(first, second)
    if node.op != "call_module":
        raise LoweringError(f"operation {node.name!r} ({node.target}) cannot be lowered", hint=_supported())
    layer = str(node.target)
    module = modules[layer]
    handler = _handler(module)
    if handler is None:
        raise LoweringError(f"layer {layer!r} ({type(module).__name__}) cannot be lowered", hint=_supported())
    try:
        return handler(walk, values[_only_input(node)], module, re.sub(r"[^A-Za-z0-9_-]", "_", layer))
    except LoweringError as error:
        described = f"layer {layer!r} ({type(module).__name__}) cannot be lowered: {error.message}"
        raise LoweringError(described, hint=error.hint) from error
    except ValueError as error:
        raise LoweringError(f"layer {layer!r} ({type(module).__name__}): {error}") from error


def _only_input(node: fx.Node) -> fx.Node:
    if len(node.all_input_nodes) != 1:
        raise LoweringError(f"operation {node.name!r} has {len(node.all_input_nodes)} inputs, not one")
    return node.all_input_nodes[0]


def _supported() -> str:
    names = sorted(kind.__name__ for kind in HANDLERS)
    return f"layers that can: {', '.join(names)}, and sums"


def _handler(module: nn.Module) -> Handler | None:
    for kind in type(module).__mro__:
        if kind in HANDLERS:
            return HANDLERS[kind]
    return None


# Handlers: what each layer makes of the stream that enters it.

Handler = Callable[[Builder, Stream, Any, str], Stream]


def _same(_walk: Builder, stream: Stream, _module: nn.Module, _name: str) -> Stream:
    return stream


def _conv2d(_walk: Builder, stream: Stream, module: nn.Conv2d, _name: str) -> Stream:
    if module.padding_mode != "zeros":
        raise LoweringError(f"its padding_mode is {module.padding_mode!r}", hint="only zeros can be padded")
    weight, stride, dilation = _numpy(module.weight), _pair(module.stride), _pair(module.dilation)
    if isinstance(module.padding, str):
        valid = Conv2d(weight, stride, (0, 0), dilation, module.groups)
        op = same_sized(weight, dilation, module.groups) if module.padding == "same" else valid
    else:
        op = Conv2d(weight, stride, _pair(module.padding), dilation, module.groups)
    return streams.convolve(stream, op, None if module.bias is None else _numpy(module.bias))


def _linear(_walk: Builder, stream: Stream, module: nn.Linear, _name: str) -> Stream:
    if len(stream.shape) != 1:
        raise LoweringError(f"its input has shape {stream.shape}", hint="put a Flatten before it")
    if module.in_features != stream.shape[0]:
        raise LoweringError(f"it takes {module.in_features} inputs and gets {stream.shape[0]}")
    return streams.multiply(stream, _numpy(module.weight), None if module.bias is None else _numpy(module.bias))


def _batch_norm(_walk: Builder, stream: Stream, module: nn.BatchNorm2d, _name: str) -> Stream:
    if module.running_mean is None or module.running_var is None:
        raise LoweringError("it keeps no running statistics, so it depends on the batch")
    mean, variance = _numpy(module.running_mean), _numpy(module.running_var)
    gain = np.ones_like(mean) if module.weight is None else _numpy(module.weight)
    shift = np.zeros_like(mean) if module.bias is None else _numpy(module.bias)
    factor = gain / np.sqrt(variance + module.eps)
    return streams.scale_channels(stream, factor, shift - mean * factor)


def _normalize(_walk: Builder, stream: Stream, module: Normalize, _name: str) -> Stream:
    factor = 1 / _numpy(module.std).reshape(-1)
    return streams.scale_channels(stream, factor, -_numpy(module.mean).reshape(-1) * factor)


def _avg_pool(_walk: Builder, stream: Stream, module: nn.AvgPool2d, _name: str) -> Stream:
    if (
        module.ceil_mode
        or module.divisor_override
        or (not module.count_include_pad and _pair(module.padding) != (0, 0))
    ):
        raise LoweringError("ceil_mode, divisor_override and count_include_pad=False have no exact counterpart")
    return streams.average_pool(stream, _pair(module.kernel_size), _pair(module.stride), _pair(module.padding))


def _adaptive_avg_pool(_walk: Builder, stream: Stream, module: nn.AdaptiveAvgPool2d, _name: str) -> Stream:
    height, width = stream.shape[1:]
    wanted = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,) * 2
    out = tuple(o or n for o, n in zip(wanted, (height, width), strict=True))
    if height % out[0] or width % out[1]:
        raise LoweringError(f"{out} does not divide the image size {(height, width)}")
    kernel = (height // out[0], width // out[1])
    return streams.average_pool(stream, kernel, kernel)


def _max_pool(walk: Builder, stream: Stream, module: nn.MaxPool2d, name: str) -> Stream:
    """Exact on spikes as a population that fires when any cell of its window did (OR)."""
    if not stream.is_spikes or stream.terms[0].source == INPUT or len(stream.shape) != 3:
        raise LoweringError(
            "its input is not spikes, and only the maximum of spikes is exact", hint="pool after the IF"
        )
    if module.ceil_mode or module.return_indices:
        raise LoweringError("ceil_mode and return_indices have no exact counterpart")
    channels = stream.shape[0]
    kernel = _pair(module.kernel_size)
    op = Conv2d(
        np.ones((channels, 1, *kernel)),
        _pair(module.stride),
        _pair(module.padding),
        _pair(module.dilation),
        groups=channels,
    )
    return walk.spiking(streams.convolve(stream, op), name, OR_THRESHOLD)


def _flatten(_walk: Builder, stream: Stream, module: nn.Flatten, _name: str) -> Stream:
    if module.start_dim != 1 or module.end_dim not in (-1, len(stream.shape)):
        raise LoweringError(f"it keeps a dimension (start_dim={module.start_dim}, end_dim={module.end_dim})")
    return streams.flatten(stream)


def _multi_step(walk: Builder, stream: Stream, module: MultiStep, name: str) -> Stream:
    return _neuron(walk, stream, module.cell, name)


def _neuron(walk: Builder, stream: Stream, module: snntorch.Leaky | snntorch.Synaptic, name: str) -> Stream:
    """IF and LIF neurons, with a current of their own (`Synaptic`) or without.

    A `Leaky` that resets at the next step fires like one that resets at once, since the reset is absolute. A `Synaptic`
    does not: at the step after a spike it drops its input.
    """
    if module.reset_mechanism != "zero":
        raise LoweringError(f"its reset is {module.reset_mechanism!r}", hint='use reset_mechanism="zero"')
    if module.inhibition or module.state_quant or float(module.graded_spikes_factor) != 1:
        raise LoweringError("inhibition, state_quant and graded spikes have no counterpart on the hardware")
    threshold = _one_number(module.threshold, "threshold")
    if threshold <= 0:
        raise LoweringError(f"its threshold is {threshold}, not a positive number")
    decay_u, decay_v = 1.0, 1.0 - min(max(_one_number(module.beta, "beta"), 0.0), 1.0)
    if isinstance(module, snntorch.Synaptic):
        if module.reset_delay:
            raise LoweringError("it loses its input at the step after a spike", hint="use reset_delay=False")
        decay_u = 1.0 - min(max(_one_number(module.alpha, "alpha"), 0.0), 1.0)
    return walk.spiking(stream, name, threshold, decay_u=decay_u, decay_v=decay_v)


def _one_number(value: torch.Tensor, name: str) -> float:
    """The value of a parameter that the hardware has once a population."""
    values = torch.unique(value.detach())
    if values.numel() != 1 or not torch.isfinite(values).all():
        raise LoweringError(f"its {name} is not one number: the hardware has one a population")
    return float(values)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _numpy(tensor: torch.Tensor) -> FloatArray:
    values: FloatArray = tensor.detach().cpu().to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise LoweringError("it holds a value that is not finite")
    return values


HANDLERS: dict[type[nn.Module], Handler] = {
    MultiStep: _multi_step,
    Normalize: _normalize,
    Repeat: _same,
    nn.AdaptiveAvgPool2d: _adaptive_avg_pool,
    nn.AvgPool2d: _avg_pool,
    nn.BatchNorm2d: _batch_norm,
    nn.Conv2d: _conv2d,
    nn.Dropout: _same,
    nn.Dropout2d: _same,
    nn.Flatten: _flatten,
    nn.Identity: _same,
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool,
    snntorch.Leaky: _neuron,
    snntorch.Synaptic: _neuron,
}
