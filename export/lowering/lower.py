"""Lowering: from a module to a float network in spiking normal form.

The module is traced (see `tracing.py`): it runs on tensors without numbers, and each operation is looked at. What is
linear folds into the stream that flows through it (see `linear_stream.py`); each neuron ends a stream as a population
with projections (see `network_builder.py`). What cannot be carried is refused, all of it at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import snntorch
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_stream import Stream
from kdsnn.export.lowering.network_builder import Builder
from kdsnn.export.lowering.neuron_calls import Calls
from kdsnn.export.lowering.neuron_settings import check_residual
from kdsnn.export.lowering.returned import chosen, over_time
from kdsnn.export.lowering.shape_functions import TAKES_APART
from kdsnn.export.lowering.traced import Drive, Order, Traced
from kdsnn.export.lowering.tracing import Stopped, Tracing
from kdsnn.network import Input, Network, Population, Shape

__all__ = ["LAYERS", "Lowered", "lower", "lower_module"]

INPUT, READOUT = "input", "readout"
WHITE = 255
UNIT = (0.0, 1.0)  # what a student sees of pixels
LAYERS: tuple[type[nn.Module], ...] = (  # what can be lowered, for those who look for it; also what is made of the same
    *(nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Conv2d, nn.Dropout, nn.Dropout2d),
    *(nn.Flatten, nn.Identity, nn.Linear, nn.MaxPool2d),
    *(snntorch.Leaky, snntorch.RLeaky, snntorch.RSynaptic, snntorch.Synaptic),
)
SUPPORTED = (
    f"what can be: {', '.join(kind.__name__ for kind in LAYERS)}, sums, and constants that are added or multiply"
)


@dataclass(frozen=True)
class Lowered:
    """A float network, and how the module makes it.

    Attributes:
        network: in spiking normal form.
        once_a_step: whether the module has to be called once for each time step.
        in_time: how it is given images in time; None where they are still.
        value_range: what the module sees for a pixel of 0, and of 255.
        calls: the calls of its neurons in their order: path of the neuron, population, step.
    """

    network: Network
    once_a_step: bool
    value_range: tuple[float, float]
    calls: tuple[tuple[str, str, int], ...]
    in_time: Order | None = None


def lower(
    model: nn.Module,
    *,
    input_shape: Shape,
    timesteps: int | None,
    labels: Sequence[str] | None,
    name: str = "network",
    provenance: Mapping[str, str] | None = None,
    in_time: Order | bool | None = None,
) -> Network:
    """The float network that computes what a module computes, spike for spike. See `lower_module`."""
    made = lower_module(
        model,
        input_shape=input_shape,
        timesteps=timesteps,
        labels=labels,
        name=name,
        provenance=provenance,
        in_time=in_time,
    )
    return made.network


def lower_module(
    model: nn.Module,
    *,
    input_shape: Shape,
    timesteps: int | None,
    labels: Sequence[str] | None,
    name: str = "network",
    provenance: Mapping[str, str] | None = None,
    value_range: tuple[float, float] = UNIT,
    in_time: Order | bool | None = None,
) -> Lowered:
    """The float network that computes what a module computes, spike for spike, and how the module makes it.

    Args:
        model: in eval mode. It maps images, `(B, C, H, W)` or `(B, N)`, to the spikes of its last neurons:
            of all time steps, `(T, B, N)` or `(T * B, N)`, or their sum; or, called once for each step, of that step.
            Where it returns no spikes, the output integrates what it returns at every step, without a leak, and its
            potential after the last is the score. Of several results, the spikes of its last neurons are meant.
        input_shape: of an image, or of one frame of an image in time.
        timesteps: T. None: as many as the module makes by itself; needed for images in time.
        labels: name of each output neuron. None: numbers.
        name: of the network.
        provenance: where it comes from; carried along, without influence on the fingerprint.
        value_range: what the module sees for a pixel of 0, and of 255.
        in_time: how the module is given images in time: `(T, B, ...)`, `(T * B, ...)`, or a frame `(B, ...)` a call.
            True: it is found out whether a frame a call or `(T, B, ...)`. None or False: they are still.

    Raises:
        LoweringError: it holds something that cannot be carried exactly; with all that was found.
    """
    if in_time not in (None, False) and timesteps is None:
        raise LoweringError(
            "images in time have a number of steps, and none is said", hint="say how many there are: timesteps"
        )
    wanted = _Wanted(input_shape, timesteps, labels, name, provenance, value_range)
    first = Order.NOW if in_time is True else in_time or None
    made = _attempt(model, wanted, first)
    if in_time is True and not isinstance(made, Lowered):
        at_once = _attempt(model, wanted, Order.STACKED)
        takes_apart = any(TAKES_APART in message for message in made)
        made = at_once if takes_apart or isinstance(at_once, Lowered) else made
    if isinstance(made, Lowered):
        return made
    raise refusal(made)


@dataclass(frozen=True)
class _Wanted:
    """What is asked of a module; see `lower_module`."""

    input_shape: Shape
    timesteps: int | None
    labels: Sequence[str] | None
    name: str
    provenance: Mapping[str, str] | None
    value_range: tuple[float, float]


def _attempt(model: nn.Module, wanted: _Wanted, in_time: Order | None) -> Lowered | dict[str, str]:
    """What a module makes of images that it is given so; or the problems that it has with them."""
    input_shape, timesteps, (low, high) = wanted.input_shape, wanted.timesteps, wanted.value_range
    entering = Population(INPUT, input_shape, Input(bits=8, static=in_time is None))
    builder = Builder([entering], input_scale=(high - low) / WHITE)
    image = replace(streams.spikes_of(INPUT, input_shape), offset=np.full(input_shape, low))
    tracing = Tracing(model, builder, number_format(model))
    calls = Calls(tracing)
    try:
        with calls.attached(), torch.no_grad():
            output = _traced_output(tracing, calls, image, timesteps, in_time)
        stream, steps = over_time(tracing, output.parts, timesteps)
        network = _network(builder, stream, steps, wanted)
        _check_calls(tracing, calls, network)
    except Stopped:
        calls.check_rest()
    if tracing.problems:
        return tracing.problems
    return Lowered(
        network=network,
        once_a_step=calls.repeated,
        value_range=wanted.value_range,
        calls=tuple((tracing.names[neuron], cell.name, step) for neuron, cell, step in calls.made),
        in_time=in_time,
    )


def number_format(model: nn.Module) -> torch.dtype:
    """What a module computes in.

    Raises:
        LoweringError: it is not in eval mode, not on the CPU, not in float32 or float64, or no plain module.
    """
    problems = {}
    for name, layer in model.named_modules():
        if isinstance(layer, torch.jit.ScriptModule) or hasattr(layer, "_orig_mod"):
            problems[f"layer {name!r} ({type(layer).__name__}) is compiled"] = "give the module that it was made from"
    learns = [name or "the module" for name, layer in model.named_modules() if layer.training]
    if learns:
        problems[f"it is in training mode: {', '.join(learns[:5])}{', ...' if learns[5:] else ''}"] = "call .eval()"
    formats = set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.device.type != "cpu":
            problems[f"{name!r} is on {tensor.device}"] = "call .cpu()"
        if tensor.is_floating_point() and tensor.numel():
            formats.add(tensor.dtype)
            if tensor.dtype not in (torch.float32, torch.float64):
                problems[f"{name!r} is in {tensor.dtype}"] = "call .float()"
    if problems:
        raise refusal(problems)
    return torch.float64 if formats == {torch.float64} else torch.float32


def refusal(problems: Mapping[str, str]) -> LoweringError:
    """The error that names all problems, each with what to do about it."""
    if len(problems) == 1:
        ((message, hint),) = problems.items()
        return LoweringError(message, hint=hint or SUPPORTED)
    lines = [message + (f": {hint}" if hint else "") for message, hint in problems.items()]
    return LoweringError(f"the module cannot be lowered, for {len(lines)} reasons", hint=SUPPORTED, problems=lines)


def _traced_output(
    tracing: Tracing, calls: Calls, image: Stream, timesteps: int | None, in_time: Order | None
) -> Traced:
    """What the module returns, over all time steps: where it returns those of one, it is called again for each."""
    if in_time in (Order.STACKED, Order.FOLDED):
        return chosen(tracing, tracing.run(image, range(timesteps or 1), in_time))
    steps: list[int | None] = [None] * (timesteps or 1) if in_time is None else list(range(timesteps or 1))
    output = chosen(tracing, tracing.run(image, steps[:1]))
    part = output.parts[0]
    if output.order is not Order.NOW or not isinstance(part, Drive) or part.step != 0:
        return output
    if timesteps is None:
        tracing.stop("it makes one time step", "say how many it shall make: timesteps")
    calls.repeated = True
    parts = [part, *(chosen(tracing, tracing.run(image, [step])).parts[0] for step in steps[1:])]
    return Traced(tracing, (timesteps, *output.shape), parts, Order.STACKED)


def _network(builder: Builder, stream: Stream, timesteps: int, wanted: _Wanted) -> Network:
    """The network that ends in a stream; populations that lead nowhere are left out."""
    if not stream.is_spikes or stream.terms[0].source == INPUT:
        stream = builder.spiking(stream, READOUT, inf)
    output = stream.terms[0].source
    used = {INPUT, output}
    for projection in reversed(builder.projections):
        if projection.target in used:
            used.add(projection.source)
    populations = tuple(population for population in builder.populations if population.name in used)
    labels = map(str, range(populations[-1].neurons)) if wanted.labels is None else wanted.labels
    return Network(
        name=wanted.name,
        populations=populations,
        projections=tuple(p for p in builder.projections if p.target in used),
        timesteps=timesteps,
        labels=tuple(labels),
        integer=False,
        provenance=dict(wanted.provenance or {}),
    )


def _check_calls(tracing: Tracing, calls: Calls, network: Network) -> None:
    """Every neuron that matters takes part in every time step, and is carried exactly by what drives it there."""
    used = {population.name for population in network.spiking}
    for cell in {cell for _, cell, _ in calls.made if cell.name in used and cell.steps != network.timesteps}:
        tracing.problem(f"it takes {cell.steps} time steps, and the module {network.timesteps}", module=cell.module)
    for cell in {cell for _, cell, _ in calls.made if cell.name in used and cell.settings.residual}:
        try:
            check_residual(network, network.population(cell.name), WHITE)
        except LoweringError as error:
            tracing.problem(error.message, error.hint, cell.module)
