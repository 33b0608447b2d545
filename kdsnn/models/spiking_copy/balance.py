"""Weights in units of what neurons fire for: an ANN rescaled so that its activations lie between 0 and 1.

An activation `a` of an ANN becomes a rate of spikes, at most one a step. So each ReLU gets a unit `u`, near the largest
of its activations, and a spike stands for `u`: what goes into its neurons is divided by `u`, what comes out of them is
multiplied by it. `relu(x / u) u = relu(x)`, so the ANN with these weights computes what it did (Diehl et al. 2015; the
percentile as in Rueckauer et al. 2017; units by channel as in Kim et al. 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from kdsnn.models.neurons import Normalize
from kdsnn.models.spiking_copy.normal_form import ADD, NormalForm, free_name, inputs

__all__ = ["activations", "rescale"]

Unit = torch.Tensor  # (C,) of maps, (F,) of vectors
AT_ONCE, SAMPLED = 64, 4096  # images, and values of a channel that are looked at in each so many images
LEAST = 0.1  # a channel's unit is no less than this share of its layer's: one that hardly fires shall not be amplified


@torch.no_grad()
def activations(form: NormalForm, images: torch.Tensor, percentile: float) -> dict[str, Unit]:
    """For each ReLU by the name of its layer, and for the output (`""`), the percentile of what it gives, by channel.

    Args:
        form: the ANN.
        images: `(N, C, H, W)` in [0, 1].
        percentile: from 0 to 100.
    """
    samples: dict[str, list[torch.Tensor]] = {}
    module = form.module
    names = [str(n.target) for n in module.graph.nodes if _is_relu(module, n)]
    handles = [module.get_submodule(name).register_forward_hook(_sampled(samples, name)) for name in names]
    try:
        for part in torch.split(images, AT_ONCE):
            samples.setdefault("", []).append(module(part).amax(dim=1, keepdim=True).T.clamp(min=0))
    finally:
        for handle in handles:
            handle.remove()
    units = {}
    for name, parts in samples.items():
        whole = torch.cat(parts, dim=1)
        by_channel = torch.quantile(whole, percentile / 100, dim=1)
        largest = float(by_channel.max()) or 1.0
        units[name] = by_channel.clamp(min=LEAST * largest)
    return units


def _sampled(samples: dict[str, list[torch.Tensor]], name: str) -> Any:
    """A hook that keeps some values of each channel, evenly spread."""

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        values = output.transpose(0, 1).flatten(1)
        samples.setdefault(name, []).append(values[:, :: max(1, values.shape[1] // SAMPLED)])

    return keep


@torch.no_grad()
def rescale(form: NormalForm, units: Mapping[str, Unit]) -> None:
    """Brings the weights of an ANN into these units, in place; where no weight can take one up, a scaling is put in.

    Args:
        form: the ANN.
        units: of each ReLU by the name of its layer, and of the output (`""`).
    """
    module, unit = form.module, dict[fx.Node, Unit | None]()
    for node in list(module.graph.nodes):
        unit[node] = None
        if node.op == "placeholder":
            continue
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if layer is not None and not isinstance(layer, nn.ReLU):
            unit[node] = _through(layer, unit[inputs(node)[0]], form.shapes[node.name])
            continue
        for source in dict.fromkeys(inputs(node)):  # what is added, fires or leaves is in the units of the ANN
            if (factor := unit[source]) is not None:
                _insert(form, source, node, factor)
        if node.op == "output":
            _multiply(form, inputs(node)[0], node, (1 / units[""]).expand(form.shapes[inputs(node)[0].name]))
        elif layer is not None:
            unit[node] = units[str(node.target)]
            _multiply(form, inputs(node)[0], node, 1 / units[str(node.target)])
    module.graph.lint()
    module.recompile()


def _through(module: nn.Module, unit: Unit | None, shape: tuple[int, ...]) -> Unit | None:
    """The unit of what a layer makes of what comes in one: its weights take it up, where it has some."""
    layer: Any = module
    if unit is None or isinstance(layer, nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return unit
    if isinstance(layer, nn.Flatten):
        return unit.repeat_interleave(shape[0] // len(unit))
    if isinstance(layer, nn.Linear):
        layer.weight.mul_(unit)
    elif isinstance(layer, nn.Conv2d):
        of_each = unit.reshape(layer.groups, -1).repeat_interleave(len(layer.weight) // layer.groups, dim=0)
        layer.weight.mul_(of_each[:, :, None, None])
    else:  # BatchNorm: of spikes, whose statistics are those of the activations in their unit
        layer.running_mean.div_(unit)
        layer.running_var.copy_(((layer.running_var + layer.eps) / unit**2 - layer.eps).clamp(min=0))
    return None


def _multiply(form: NormalForm, source: fx.Node, user: fx.Node, factor: Unit) -> None:
    """Multiplies what goes from one node to another, channel by channel, as far back as a weight can take it up."""
    layer: Any = form.module.get_submodule(str(source.target)) if source.op == "call_module" else None
    alone = len(source.users) == 1
    if alone and source.target is ADD:
        for before in dict.fromkeys(inputs(source)):
            _multiply(form, before, source, factor)
    elif alone and isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        _multiply(form, inputs(source)[0], source, factor)
    elif alone and isinstance(layer, Normalize):
        layer.std.div_(factor.reshape(layer.std.shape))
    elif (
        alone
        and isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d)
        and layer.weight is not None
    ):
        layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        if layer.bias is not None:
            layer.bias.mul_(factor)
    else:
        _insert(form, source, user, factor)


def _insert(form: NormalForm, source: fx.Node, user: fx.Node, factor: Unit) -> None:
    """Puts a scaling between two nodes."""
    scale = Normalize([0.0] * len(factor), (1 / factor).tolist())
    if len(form.shapes[source.name]) == 1:
        scale.mean, scale.std = scale.mean.flatten(), scale.std.flatten()
    name = free_name(form.module, "scale")
    form.module.add_submodule(name, scale)
    with form.module.graph.inserting_before(user):
        node = form.module.graph.call_module(name, (source,))
    form.shapes[node.name] = form.shapes[source.name]
    user.replace_input_with(source, node)


def _is_relu(module: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), nn.ReLU)
