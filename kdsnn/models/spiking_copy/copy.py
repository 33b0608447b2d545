"""A spiking copy of an ANN: integrate-and-fire neurons in place of its ReLUs, from its weights."""

from __future__ import annotations

import torch
from torch import fx, nn

from kdsnn.models.blocks import fire, readout
from kdsnn.models.kinds import CopyKind, Pairs
from kdsnn.models.neurons import IF, Repeat
from kdsnn.models.spiking_copy.balance import activations, rescale
from kdsnn.models.spiking_copy.normal_form import NormalForm, free_name, inputs, normal_form
from kdsnn.recipes.schema import StudentSection

__all__ = ["PERCENTILE", "STUDENT", "spiking_copy"]

PERCENTILE = 99.0
RATE_UNIT = 0.25  # of the largest logit: a spike of an output neuron; one whole leaves rates too low to learn from


def spiking_copy(
    ann: nn.Module, section: StudentSection, input_shape: tuple[int, ...], images: torch.Tensor | None = None
) -> tuple[nn.Module, Pairs]:
    """The layers of a copy; and its populations by name, each with the ANN's module whose features it has.

    The structure depends on the ANN's alone, so that weights that were trained can be put in.

    Args:
        ann: from images `(B, C, H, W)` in [0, 1] to logits; left as it is.
        section: time steps, surrogate gradient, readout and percentile.
        input_shape: `(C, H, W)`.
        images: `(N, C, H, W)` in [0, 1], by whose activations weights are balanced; None leaves weights that are of no
            use yet.

    Raises:
        LoweringError: the ANN holds what has no counterpart; all of it at once.
    """
    form = normal_form(ann, input_shape)
    percentile = PERCENTILE if section.percentile is None else section.percentile
    if images is None or percentile == 0:
        units = {name: torch.ones(form.shapes[node.name][0]) for name, node in _relus(form).items()} | {
            "": torch.ones(1)
        }
    else:
        units = activations(form, images, percentile)
        if section.readout == "rate":
            units[""] *= RATE_UNIT
    rescale(form, units)
    module, pairs = form.module, []
    for name, node in _relus(form).items():
        node.target = free_name(module, "if")
        module.add_submodule(node.target, fire(section))
        if (feature := form.features[name]) is not None:
            pairs.append((node.target, feature))
    _repeat(form, section.timesteps)
    output = next(iter(module.graph.find_nodes(op="output")))
    name = free_name(module, "if")
    module.add_submodule(name, readout(section))
    with module.graph.inserting_before(output):
        output.replace_input_with(inputs(output)[0], module.graph.call_module(name, (inputs(output)[0],)))
    module.delete_all_unused_submodules()
    module.recompile()
    return module, tuple(pairs)


def _relus(form: NormalForm) -> dict[str, fx.Node]:
    found = {str(n.target): n for n in form.module.graph.nodes if n.op == "call_module"}
    return {name: node for name, node in found.items() if isinstance(form.module.get_submodule(name), nn.ReLU)}


def _repeat(form: NormalForm, timesteps: int) -> None:
    """Shows what is the same at every step T times, where it meets what is not."""
    module, still = form.module, set[fx.Node]()
    for node in module.graph.nodes:
        fires = node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), IF)
        if node.op == "placeholder" or (not fires and node.op != "output" and still.issuperset(inputs(node))):
            still.add(node)
    for node in list(still):
        in_time = [user for user in node.users if user not in still]
        if in_time:
            name = free_name(module, "repeat")
            module.add_submodule(name, Repeat(timesteps))
            with module.graph.inserting_after(node):
                repeated = module.graph.call_module(name, (node,))
            for user in in_time:
                user.replace_input_with(node, repeated)


STUDENT = CopyKind(spiking_copy, options=frozenset({"percentile"}))
