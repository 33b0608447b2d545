"""Calls of snnTorch's neurons while a module is traced: each neuron becomes a population when it starts from rest.

What makes it one population for all time steps: it is given the state that it returned at the step before, it is driven
by the same function of that step's spikes, and its settings stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import snntorch
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_functions import numbers_of
from kdsnn.export.lowering.linear_stream import FloatArray, Stream
from kdsnn.export.lowering.traced import Drive, Order, Refused, State, Traced
from kdsnn.export.lowering.tracing import Tracing
from kdsnn.models.neurons import IF, MultiStep

__all__ = ["STATES", "Calls", "Cell", "from_rest"]

STATES: dict[type[nn.Module], tuple[str, ...]] = {  # of the neurons of snnTorch whose calls are understood or refused
    snntorch.Alpha: ("syn_exc", "syn_inh", "mem"),
    snntorch.Lapicque: ("mem",),
    snntorch.Leaky: ("mem",),
    snntorch.RLeaky: ("spk", "mem"),
    snntorch.RSynaptic: ("spk", "syn", "mem"),
    snntorch.Synaptic: ("syn", "mem"),
}
CARRIED = (snntorch.Leaky, snntorch.Synaptic)
PROBE = torch.tensor([-1e9, -3.0, -1.0, -0.5, -1e-6, 0.0, 1e-6, 0.3, 1.0, 3.0, 1e9]).repeat(16)
RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}


@dataclass(frozen=True)
class Settings:
    """What a neuron computes, as far as it can be carried. Thresholds `(1,)`, or as many as neurons, broadcast."""

    threshold: FloatArray
    decay_u: float
    decay_v: float

    def same(self, other: Settings) -> bool:
        """Whether two are equal."""
        decays = (self.decay_u, self.decay_v) == (other.decay_u, other.decay_v)
        return decays and np.array_equal(self.threshold, other.threshold)


@dataclass(eq=False)
class Cell:
    """A population that is found by its calls.

    Attributes:
        name: of the population.
        module: the neuron.
        settings: of it, at its first call.
        drive: of the first step, and so of all.
        spikes: that it sends.
        steps: how often it was called.
    """

    name: str
    module: nn.Module
    settings: Settings
    drive: Stream
    spikes: Stream
    steps: int = 0


@dataclass
class Calls:
    """The calls of the neurons in a module: attached to it, they take the place of the neurons' forward.

    Attributes:
        tracing: of the module.
        made: each call's neuron, population and step, in their order.
        repeated: whether the module is called again for each step, so that no neuron may start from rest any more.
        seen: neurons that were called.
    """

    tracing: Tracing
    made: list[tuple[nn.Module, Cell, int]] = field(default_factory=list)
    repeated: bool = False
    seen: set[nn.Module] = field(default_factory=set)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While this lasts, the module's neurons come here, from rest; afterwards they are as they were."""
        with from_rest(self.tracing.module):
            for layer in self.tracing.names:
                own = "forward" in vars(layer)
                if isinstance(layer, snntorch.SpikingNeuron):
                    vars(layer)["forward"] = partial(self.call, layer, not own)
                elif type(layer) is IF and not own:
                    vars(layer)["forward"] = partial(MultiStep.forward, layer)  # step by step
            yield
        self.tracing.ended = True

    def check_rest(self) -> None:
        """Takes down the problems of neurons that were not reached."""
        for layer in self.tracing.names:
            if isinstance(layer, snntorch.SpikingNeuron) and layer not in self.seen:
                try:
                    settings_of(layer)
                except LoweringError as error:
                    self.tracing.problem(error.message, error.hint, layer)

    def call(self, neuron: Any, plain: bool, input_: Any, *args: Any, **kwargs: Any) -> Any:
        """What a neuron returns for a drive, with the state that it is given or keeps."""
        self.seen.add(neuron)
        names = next((STATES[kind] for kind in type(neuron).__mro__ if kind in STATES), None)
        if names is None or not isinstance(input_, Traced):
            self.tracing.stop("neurons of its kind cannot be carried", OTHERS)
        try:
            if not plain:
                raise LoweringError("it has a forward of its own", hint=OTHERS)
            given = dict(zip(names, args, strict=False)) | kwargs
            if set(given) - set(names) or len(args) > len(names):
                raise LoweringError(f"it is given {sorted(set(given) - set(names)) or len(args)}")
            state = [value if value is not None else getattr(neuron, name) for name, value in _in(names, given)]
            if neuron.init_hidden and any(value is not None for value in given.values()):
                raise LoweringError("it keeps its state (init_hidden=True), and is given one, too")
            spikes, states = self._step(neuron, input_, state)
        except LoweringError as error:
            self.tracing.problem(error.message, error.hint, neuron)
            spikes = self.tracing.refused(input_.shape)
            states = [self.tracing.refused(input_.shape) for _ in names]
        for name, value in zip(names, states, strict=True):
            setattr(neuron, name, value)
        if neuron.init_hidden and not neuron.output:
            return spikes
        return (spikes, *(value for name, value in zip(names, states, strict=True) if name != "spk"))

    def _step(self, neuron: Any, drive: Traced, state: list[torch.Tensor]) -> tuple[Traced, list[Traced]]:
        """Spikes and states after one step."""
        part = drive.parts[0]
        settings = settings_of(neuron)
        if isinstance(part, Refused):
            return drive, [drive] * len(state)
        if drive.order is not Order.NOW:
            raise LoweringError("it gets all time steps at once", hint="call it once for each time step, in a loop")
        if not isinstance(part, Drive):
            raise LoweringError("what drives it is no function of spikes", hint="only spikes travel to other neurons")
        shape = part.stream.shape
        cell = self._cell_of(neuron, drive, state)
        if cell is None:
            cell = self._born(neuron, part, settings, shape)
        elif cell.drive is not part.stream:
            raise LoweringError("what drives it is not the same at each time step")
        elif not cell.settings.same(settings):
            raise LoweringError("its settings are not the same at each time step")
        if part.step not in (None, cell.steps):
            raise LoweringError(
                f"at its step {cell.steps + 1} it is driven by spikes of step {part.step + 1}",
                hint="delays and recurrent connections cannot be lowered",
            )
        step, cell.steps = cell.steps, cell.steps + 1
        self.made.append((neuron, cell, step))
        spikes = Traced(self.tracing, drive.shape, [Drive(cell.spikes, step)])
        return spikes, [Traced(self.tracing, drive.shape, [State(cell, i, step)]) for i in range(len(state))]

    def _cell_of(self, neuron: nn.Module, drive: Traced, state: list[torch.Tensor]) -> Cell | None:
        """The population that a state is of; None from rest."""
        parts = [value.parts[0] if isinstance(value, Traced) else None for value in state]
        known = [part for part in parts if isinstance(part, State)]
        if not known:
            if any(part is not None for part in parts):
                raise LoweringError("the state that it is given is none that a neuron returned")
            if any(value.shape == drive.shape and value.count_nonzero() for value in state):
                raise LoweringError("it does not start from rest", hint="start with lif.reset_mem(), which is zero")
            return None
        cell = known[0].cell
        wanted = [(cell, i, cell.steps - 1) for i in range(len(state))]
        if [(p.cell, p.index, p.step) for p in known] != wanted or cell.module is not neuron:
            raise LoweringError("the state that it is given is not the one that it returned at the step before")
        return cell

    def _born(self, neuron: nn.Module, drive: Drive, settings: Settings, shape: tuple[int, ...]) -> Cell:
        """A new population."""
        if self.repeated:
            raise LoweringError(
                "it starts from rest at each time step",
                hint="keep its state: init_hidden=True, or loop over the time steps inside of forward",
            )
        stream, threshold = drive.stream, float(settings.threshold.flat[0])
        if settings.threshold.size > 1:
            try:
                each = np.broadcast_to(settings.threshold, shape)
            except ValueError:
                raise LoweringError(f"its threshold has shape {settings.threshold.shape}, and it has {shape}") from None
            stream, threshold = streams.scale(stream, 1 / each), 1.0
        path = self.tracing.names[neuron].removesuffix(".cell")
        name = self.tracing.builder.free_name(path or "neurons")
        builder = self.tracing.builder
        spikes = builder.spiking(stream, name, threshold, decay_u=settings.decay_u, decay_v=settings.decay_v)
        return Cell(name, neuron, settings, drive.stream, spikes)


OTHERS = "neurons that can be: snntorch.Leaky and snntorch.Synaptic, as they are"


def _in(names: tuple[str, ...], given: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, given.get(name)) for name in names]


def settings_of(neuron: Any) -> Settings:
    """What a neuron computes.

    A `Leaky` that resets at the next step fires like one that resets at once, since the reset is absolute. A `Synaptic`
    does not: at the step after a spike it drops its input.

    Raises:
        LoweringError: it is not as snnTorch made it, or cannot be carried.
    """
    kind = type(neuron)
    if kind not in CARRIED:
        raise LoweringError("neurons of its kind cannot be carried", hint=OTHERS)
    own = sorted(name for name in vars(neuron) if name != "forward" and callable(getattr(kind, name, None)))
    mechanism = next((reset for name, reset in RESETS.items() if neuron.state_function == getattr(neuron, name)), None)
    if own or mechanism is None:
        raise LoweringError(f"it has functions of its own: {', '.join(own) or 'state_function'}", hint=OTHERS)
    if mechanism != "zero" or (not neuron.reset_delay and int(neuron.reset_mechanism_val) != 1):
        changed = ", which it was made with, whatever was set since" if neuron.reset_mechanism != mechanism else ""
        raise LoweringError(
            f"its reset is {mechanism!r}{changed}",
            hint="make it with reset_mechanism='zero', and train the network on for some epochs with it",
        )
    if neuron.inhibition or neuron.state_quant or not bool((neuron.graded_spikes_factor == 1).all()):
        raise LoweringError("inhibition, state_quant and graded spikes have no counterpart on the hardware")
    if not torch.equal(neuron.spike_grad(PROBE).to(PROBE.dtype), (PROBE > 0).to(PROBE.dtype)):
        raise LoweringError("its spike_grad is no step: it does not fire where the potential is above the threshold")
    threshold = numbers_of(neuron.threshold)
    if (threshold <= 0).any():
        raise LoweringError(f"its threshold is {threshold.min():g}, not a positive number")
    decay_u, decay_v = 1.0, 1.0 - min(max(_one_number(neuron.beta, "beta"), 0.0), 1.0)
    if kind is snntorch.Synaptic:
        if neuron.reset_delay:
            raise LoweringError("it loses its input at the step after a spike", hint="use reset_delay=False")
        decay_u = 1.0 - min(max(_one_number(neuron.alpha, "alpha"), 0.0), 1.0)
    return Settings(np.atleast_1d(threshold), decay_u, decay_v)


def _one_number(value: torch.Tensor, name: str) -> float:
    """The value of a parameter that the hardware has once a population."""
    values = np.unique(numbers_of(value))
    if values.size != 1:
        raise LoweringError(f"its {name} is not one number: the hardware has one a population")
    return float(values[0])


@contextmanager
def from_rest(module: nn.Module) -> Iterator[None]:
    """While this lasts, all neurons of a module start from rest; afterwards all its attributes are as they were."""
    before = [(layer, dict(vars(layer)), dict(layer._buffers)) for layer in module.modules()]
    for layer, _, buffers in before:
        names = next((STATES[kind] for kind in type(layer).__mro__ if kind in STATES), ())
        for name in names:
            if (state := buffers.get(name)) is not None:
                setattr(layer, name, torch.zeros(0, dtype=state.dtype))
    try:
        yield
    finally:
        for layer, attributes, buffers in before:
            vars(layer).clear()
            vars(layer).update(attributes)
            layer._buffers.clear()
            layer._buffers.update(buffers)
