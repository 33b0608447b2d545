"""What a spiking network has no counterpart of, and what to write instead."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator
from typing import Any

from torch import fx, nn

__all__ = ["hooked", "problems_of"]

RELU = "put nn.ReLU in its place and train the ANN on, from its weights"
NORM = "use nn.BatchNorm2d, which folds into the weights: this one is computed anew for each image"
STATE = "a ReLU network keeps no state: leave it out, or train a spiking student of your own (docs/own-ann.md)"
LOGITS = "return the logits: leave it out, the weights stay as they are"
PRODUCT = "spikes can be weighted and added, and not multiplied with each other: add instead"
POOL = "use nn.MaxPool2d right after a ReLU, nn.AvgPool2d or nn.AdaptiveAvgPool2d"
MAPS = "only images (C, H, W) and vectors are carried: use nn.Conv2d and nn.Linear"

ADVICE = {
    RELU: (
        "celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leakyrelu leaky_relu logsigmoid mish prelu rrelu "
        "selu sigmoid silu softplus softshrink softsign tanh tanhshrink threshold clamp clip abs"
    ),
    NORM: "groupnorm group_norm instancenorm2d instance_norm layernorm layer_norm localresponsenorm normalize rmsnorm",
    STATE: "gru lstm rnn grucell lstmcell rnncell leaky synaptic",
    LOGITS: "softmax softmax2d softmin",
    PRODUCT: "mul imul matmul bmm multiheadattention scaled_dot_product_attention einsum bilinear truediv div pow",
    POOL: "adaptivemaxpool2d adaptive_max_pool2d lppool2d fractionalmaxpool2d max amax maxpool1d avgpool1d",
    MAPS: "conv1d conv3d convtranspose2d conv_transpose2d maxpool3d avgpool3d batchnorm3d upsample embedding",
    "use the layer nn.Conv2d itself, so that its weights can be copied": "conv2d",
    "use the layer nn.Linear itself, so that its weights can be copied": "linear",
    "use the layer nn.BatchNorm2d itself, so that its weights can be copied": "batch_norm",
    "add the two instead, or leave the joint out": "cat concat stack",
}
OF = {name: text for text, names in ADVICE.items() for name in names.split()}
OTHERS = (
    "a copy is made of Conv2d, Linear, BatchNorm, ReLU, MaxPool2d after a ReLU, AvgPool2d, AdaptiveAvgPool2d, Flatten, "
    "Dropout and sums"
)


def hooked(model: nn.Module) -> Iterator[str]:
    """Problems of a model whose modules do something beside their `forward`."""
    for name, module in model.named_modules():
        kinds = {"hook": module._forward_hooks, "pre-hook": module._forward_pre_hooks}
        for kind, there in kinds.items():
            if there:
                yield f"{name or 'the network'} ({type(module).__name__}) has a forward {kind}: remove it"
        if hasattr(module, "parametrizations"):
            yield f"{name} has parametrized weights: call torch.nn.utils.parametrize.remove_parametrizations"


def problems_of(traced: fx.GraphModule, kept: Collection[type[nn.Module]]) -> Iterator[str]:
    """All that has no counterpart in a graph of an ANN.

    Args:
        traced: as far in normal form as it can be.
        kept: the kinds of layers that have one.
    """
    nodes = list(traced.graph.nodes)
    for node in nodes:
        yield from _of_node(traced, node, kept)
    if sum(node.op == "placeholder" for node in nodes) != 1:
        yield "its forward takes more than the images: give the others a place in the module"
    result = nodes[-1].args[0]
    if not isinstance(result, fx.Node):
        yield "its forward returns more than the logits: return them alone"
    elif _is_spikes(traced, result):
        yield "its answer is that of a ReLU: return what goes into it, the logits"
    if not any(isinstance(layer, nn.ReLU) for layer in traced.modules()):
        yield "it holds no ReLU, which neurons could stand for"


def _of_node(traced: fx.GraphModule, node: fx.Node, kept: Collection[type[nn.Module]]) -> Iterator[str]:
    if node.op == "call_module":
        layer = traced.get_submodule(str(node.target))
        kind = type(layer).__name__
        problem = _problem(traced, node, layer) if type(layer) in kept else _advice(kind)
        if problem:
            yield f"layer {node.target!r} ({kind}): {problem}"
    elif node.op == "get_attr":
        yield f"{node.target!r} is used beside a layer: {OTHERS}"
    elif node.op in ("call_function", "call_method"):
        name = node.target if isinstance(node.target, str) else node.target.__name__
        if name not in ("add", "add_", "iadd"):
            yield f"operation {node.name!r} ({name}): {_advice(name)}"
        elif node.target is not operator.add or not all(isinstance(argument, fx.Node) for argument in node.args):
            yield f"operation {node.name!r} ({name}): only the results of two layers can be added, of the same shape"


def _problem(traced: fx.GraphModule, node: fx.Node, module: nn.Module) -> str | None:
    """What is wrong with a layer of a kind that is kept."""
    layer: Any = module
    problem = None
    if isinstance(layer, nn.MaxPool2d):
        source = node.args[0]
        if layer.ceil_mode or layer.return_indices:
            problem = "ceil_mode and return_indices have no counterpart"
        elif not (isinstance(source, fx.Node) and _is_spikes(traced, source)):
            problem = "only the maximum of spikes is exact: put it right before or after a ReLU, or use nn.AvgPool2d"
    elif isinstance(layer, nn.AvgPool2d):
        padded = layer.padding not in (0, (0, 0)) and not layer.count_include_pad
        if layer.ceil_mode or layer.divisor_override or padded:
            problem = "ceil_mode, divisor_override and count_include_pad=False have no counterpart"
    elif isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        problem = f"its padding_mode is {layer.padding_mode!r}, and only zeros can be padded"
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.running_mean is None:
        problem = "it keeps no running statistics, so it depends on the batch"
    elif isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
        problem = "it does not make one vector of an image: write nn.Flatten()"
    return problem


def _is_spikes(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether what a node makes will be spikes: those of a ReLU's neurons, pooled or not."""
    if node.op != "call_module":
        return False
    layer = traced.get_submodule(str(node.target))
    if isinstance(layer, nn.MaxPool2d | nn.Flatten):
        return isinstance(node.args[0], fx.Node) and _is_spikes(traced, node.args[0])
    return isinstance(layer, nn.ReLU)


def _advice(name: str) -> str:
    """What to write instead of a layer's type or an operation of this name."""
    return OF.get(name.lower().strip("_"), OTHERS)
