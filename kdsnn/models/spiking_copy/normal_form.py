"""An ANN as a graph of few kinds of layers, each used once: the same function, which a spiking network can be made of.

What is written as a function (`F.relu`, `x.view`, `F.max_pool2d`) becomes its layer. Max-pooling in front of a ReLU
moves behind it, which changes nothing: both are monotonic. All that has no counterpart is refused at once, by name.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from kdsnn.errors import LoweringError
from kdsnn.models.neurons import Normalize
from kdsnn.models.spiking_copy.functions import ADDITIONS, FUNCTIONS
from kdsnn.models.spiking_copy.refusals import hooked, problems_of

__all__ = ["ADD", "NormalForm", "free_name", "inputs", "normal_form"]

ADD = operator.add
KEPT: tuple[type[nn.Module], ...] = (
    nn.AdaptiveAvgPool2d,
    nn.AvgPool2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Conv2d,
    nn.Flatten,
    nn.Linear,
    nn.MaxPool2d,
    nn.ReLU,
    Normalize,
)
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
RELUS = (nn.ReLU, nn.ReLU6)  # the rate of a neuron saturates too
LOG_SOFTMAX = (F.log_softmax, torch.log_softmax, "log_softmax")
PROBES, TOLERANCE = 3, 1e-3  # images that are tried; of the largest logit, since convolutions sum in other orders


@dataclass(frozen=True, eq=False)
class NormalForm:
    """An ANN in normal form.

    Attributes:
        module: its graph has one input, layers of the kinds in `KEPT`, sums of two, and one output.
        shapes: of what each node makes, without the batch.
        features: for each ReLU by the name of its layer, which module of the ANN gives what goes into it, as
            `kdsnn.distill.features` reads it, where one does.
    """

    module: fx.GraphModule
    shapes: dict[str, tuple[int, ...]]
    features: dict[str, str | None]


def normal_form(ann: nn.Module, input_shape: tuple[int, ...]) -> NormalForm:
    """The normal form of an ANN, checked against it on random images. The ANN is left as it was.

    Args:
        ann: from images `(B, C, H, W)` in [0, 1] to logits.
        input_shape: `(C, H, W)`.

    Raises:
        LoweringError: with all that has no counterpart in a spiking network.
    """
    model = copy.deepcopy(ann).cpu().eval()
    problems = list(hooked(model))
    images = torch.rand(PROBES, *input_shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            wanted = model(images)
    except Exception as error:
        raise LoweringError(f"the ANN cannot take images of {input_shape}: {type(error).__name__}: {error}") from error
    try:
        traced = fx.GraphModule(model, _Tracer().trace(model))
        values = _values(traced, images)
    except Exception as error:  # whatever the user's forward does with a proxy
        problems.append(f"its forward cannot be followed, since it looks at its data: {error}")
        raise _refused(problems) from error
    normalised = _without_log_softmax(traced)
    _rewrite(traced, values)
    problems += problems_of(traced, KEPT)
    if problems:
        raise _refused(problems)
    values = _values(traced, images)
    got = values[next(iter(traced.graph.find_nodes(op="output"))).args[0]]
    got = got.log_softmax(dim=1) if normalised else got
    if got.shape != wanted.shape or not torch.allclose(got, wanted, atol=TOLERANCE * float(wanted.abs().max())):
        raise LoweringError(
            "a copy of the ANN's layers does not compute what the ANN does",
            hint="does its forward change a tensor in place, or depend on what is in it?",
        )
    features = {str(n.target): _feature(n, ann) for n in traced.graph.nodes if "own" in n.meta}
    return NormalForm(traced, {n.name: tuple(v.shape[1:]) for n, v in values.items()}, features)


def inputs(node: fx.Node) -> list[fx.Node]:
    """What a node is computed from, in order."""
    return [argument for argument in node.args if isinstance(argument, fx.Node)]


def free_name(module: fx.GraphModule, name: str) -> str:
    """A name for a layer that none has yet: the given one with the next number."""
    number = 1
    while hasattr(module, f"{name}{number}"):
        number += 1
    return f"{name}{number}"


class _Tracer(fx.Tracer):
    """Takes layers as they are, and looks inside all that a user wrote."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node of the graph."""
        return type(m) in KEPT or super().is_leaf_module(m, module_qualified_name)


class _Keep(fx.Interpreter):
    """Runs a graph and keeps a copy of what each node makes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[fx.Node, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """What a node makes."""
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.values[n] = value.clone()
        return value


@torch.no_grad()
def _values(module: fx.GraphModule, images: torch.Tensor) -> dict[fx.Node, torch.Tensor]:
    keep = _Keep(module)
    keep.run(images)
    return keep.values


def _without_log_softmax(traced: fx.GraphModule) -> bool:
    """Takes off a log-softmax at the end, which changes no answer: it shifts the logits. Whether there was one."""
    output = next(iter(traced.graph.find_nodes(op="output")))
    for node in inputs(output):
        if isinstance(_layer(traced, node), nn.LogSoftmax) or node.target in LOG_SOFTMAX:
            output.replace_input_with(node, inputs(node)[0])
            traced.graph.erase_node(node)
            return True
    return False


def _rewrite(traced: fx.GraphModule, values: dict[fx.Node, torch.Tensor]) -> None:
    """Brings a graph into normal form in place, as far as it can be."""
    graph, seen = traced.graph, set[str]()
    uses = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    for node in list(graph.nodes):
        if node.op == "call_module":
            _own_layer(traced, node, seen, alone=uses[str(node.target)] == 1)
        elif node.op in ("call_function", "call_method"):
            _as_layers(traced, node, values)
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        if type(_layer(traced, node)) is nn.MaxPool2d:
            _pool_behind_relu(traced, node)
    traced.delete_all_unused_submodules()
    traced.recompile()


def _own_layer(traced: fx.GraphModule, node: fx.Node, seen: set[str], *, alone: bool) -> None:
    """Each use of a layer gets a layer of its own; what does nothing goes."""
    name, layer = str(node.target), traced.get_submodule(str(node.target))
    if isinstance(layer, NOTHING):
        _replace(node, inputs(node)[0])
    elif type(layer) in RELUS:
        node.meta["own"] = name if alone and type(layer) is nn.ReLU else None
        node.target = _add(traced, "relu", nn.ReLU())
    elif name in seen:
        node.target = _add(traced, name.replace(".", "_"), copy.deepcopy(layer))
    seen.add(name)


def _as_layers(traced: fx.GraphModule, node: fx.Node, values: dict[fx.Node, torch.Tensor]) -> None:
    """Puts the layers that do what a function does in its place, where there are such."""
    before = inputs(node)
    if node.target in ADDITIONS and len(before) == 2 and not set(node.kwargs) - {"other", "input"}:
        if values[before[0]].shape == values[before[1]].shape:
            with traced.graph.inserting_before(node):
                values[added := traced.graph.call_function(ADD, tuple(before))] = values[node]
            _replace(node, added)
        return
    handler = FUNCTIONS.get(node.target)
    if handler is None or node not in values or not before or before[0] not in values:
        return
    try:
        layers = handler(values[before[0]], values[node], *node.args[1:], **node.kwargs)
    except TypeError:  # called in a way that is not ours
        return
    if layers is None:
        return
    value = before[0]
    for layer in layers:
        name = "relu" if isinstance(layer, nn.ReLU) else str(node.name)
        with traced.graph.inserting_before(node):
            value = traced.graph.call_module(_add(traced, name, layer), (value,))
        if isinstance(layer, nn.ReLU):
            value.meta["own"], value.meta["in place"], layer.inplace = None, layer.inplace, False
    values.setdefault(value, values[node])
    _replace(node, value)


def _pool_behind_relu(traced: fx.GraphModule, pool: fx.Node) -> None:
    """Swaps a max-pooling with the ReLU behind it, where that alone reads it."""
    relu = next(iter(pool.users), pool)
    if len(pool.users) != 1 or type(_layer(traced, relu)) is not nn.ReLU:
        return
    (source,) = inputs(pool)
    with traced.graph.inserting_after(relu):
        moved = traced.graph.call_module(str(pool.target), (relu,))
    relu.replace_all_uses_with(moved, delete_user_cb=lambda user: user is not moved)
    relu.replace_input_with(pool, source)
    relu.meta["own"] = None
    traced.graph.erase_node(pool)


def _feature(relu: fx.Node, ann: nn.Module) -> str | None:
    """The module of the ANN that gives what goes into a ReLU: the ReLU itself, or the layer before it."""
    if relu.meta["own"] is not None or relu.meta.get("in place"):
        return relu.meta["own"]  # type: ignore[no-any-return]
    (before,) = inputs(relu)
    return str(before.target) if before.op == "call_module" and before.target in dict(ann.named_modules()) else None


def _layer(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _add(traced: fx.GraphModule, name: str, layer: nn.Module) -> str:
    free = free_name(traced, name)
    traced.add_submodule(free, layer)
    return free


def _replace(node: fx.Node, value: fx.Node) -> None:
    node.replace_all_uses_with(value)
    node.graph.erase_node(node)


def _refused(problems: list[str]) -> LoweringError:
    return LoweringError("a spiking network has no counterpart of the whole ANN", problems=problems)
