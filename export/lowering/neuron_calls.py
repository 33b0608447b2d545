"""Calls of snnTorch's neurons while a module is traced: each neuron becomes a population when it starts from rest.

What makes it one population for all time steps: it is given the state that it returned at the step before, it is driven
by the same function of that step's spikes, and its settings stay as they are. Its own spikes of the step before may
drive it, too: at the first step there are none, so what they bring is found at the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import snntorch
import torch
from torch import nn

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_stream import ONE_STEP, Stream, Term
from kdsnn.export.lowering.neuron_settings import OTHERS, Settings, settings_of
from kdsnn.export.lowering.traced import Drive, Order, Refused, State, Traced
from kdsnn.export.lowering.tracing import Stopped, Tracing
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
IN_ORDER = "take every frame once, from the first to the last: leave out, repeat and turn round frames in the data"
SAME = 1e-6  # relative: a bias that is added in float32 at the first step, and in float64 later


@dataclass(eq=False)
class Cell:
    """A population that is found by its calls.

    Attributes:
        name: of the population.
        module: the neuron.
        settings: of it, at its first call.
        drive: of the first step, and of all, but for its own spikes of the step before.
        spikes: that it sends.
        steps: how often it was called.
    """

    name: str
    module: nn.Module
    settings: Settings
    drive: Stream
    spikes: Stream
    steps: int = 0
    recurrent: Stream | None = None  # the drive from the second step on, where its own spikes are in it


@dataclass
class Calls:
    """The calls of the neurons in a module: attached to it, they take the place of the neurons' forward.

    Attributes:
        tracing: of the module.
        made: each call's neuron, population and step, in their order.
        repeated: whether the module is called again for each step, so that no neuron may start from rest any more.
        at_once: whether a neuron got all time steps at once.
        seen: neurons that were called.
    """

    tracing: Tracing
    made: list[tuple[nn.Module, Cell, int]] = field(default_factory=list)
    repeated: bool = False
    at_once: bool = False
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
        if names is None:
            self.tracing.stop("neurons of its kind cannot be carried", OTHERS)
        if not isinstance(input_, Traced):
            self.tracing.problem("nothing of this time step drives it", ONE_STEP, neuron)
            raise Stopped
        try:
            if not plain:
                raise LoweringError("it has a forward of its own", hint=OTHERS)
            given = dict(zip(names, args, strict=False)) | kwargs
            if set(given) - set(names) or len(args) > len(names):
                raise LoweringError(f"it is given {sorted(set(given) - set(names)) or len(args)}")
            state = [value if value is not None else getattr(neuron, name) for name, value in _in(names, given)]
            if neuron.init_hidden and any(value is not None for value in given.values()):
                raise LoweringError("it keeps its state (init_hidden=True), and is given one, too")
            feeds_itself = names[0] == "spk"
            drive = self._with_own_spikes(neuron, input_, state[0]) if feeds_itself else input_
            spikes, states = self._step(neuron, drive, state[feeds_itself:])
            states = [spikes, *states] if feeds_itself else states
        except LoweringError as error:
            self.tracing.problem(error.message, error.hint, neuron)
            spikes = self.tracing.refused(input_.shape)
            states = [self.tracing.refused(input_.shape) for _ in names]
        for name, value in zip(names, states, strict=True):
            setattr(neuron, name, value)
        if neuron.init_hidden and not neuron.output:
            return spikes
        return (spikes, *(value for name, value in zip(names, states, strict=True) if name != "spk"))

    def _with_own_spikes(self, neuron: Any, drive: Traced, spikes: torch.Tensor) -> Any:
        """The drive of a recurrent neuron, with what the spikes that it is given or keeps bring to it."""
        settings_of(neuron)
        if spikes.shape != drive.shape:
            spikes = torch.zeros(drive.shape, dtype=drive.dtype)
        return drive + neuron.recurrent(spikes)

    def _step(self, neuron: Any, drive: Traced, state: list[torch.Tensor]) -> tuple[Traced, list[Traced]]:
        """Spikes and states after one step."""
        part = drive.parts[0]
        settings = settings_of(neuron)
        if isinstance(part, Refused):
            return drive, [drive] * len(state)
        if drive.order is not Order.NOW:
            self.at_once = True
            raise LoweringError("it gets all time steps at once", hint="call it once for each time step, in a loop")
        if not isinstance(part, Drive):
            raise LoweringError("what drives it is no function of spikes", hint="only spikes travel to other neurons")
        shape = part.stream.shape
        cell = self._cell_of(neuron, drive, state)
        if cell is None:
            cell = self._born(neuron, part, settings, shape)
        elif not cell.settings.same(settings):
            raise LoweringError("its settings are not the same at each time step")
        else:
            self._goes_on(cell, part)
        step, cell.steps = cell.steps, cell.steps + 1
        self.made.append((neuron, cell, step))
        spikes = Traced(self.tracing, drive.shape, [Drive(cell.spikes, step)])
        return spikes, [Traced(self.tracing, drive.shape, [State(cell, i, step)]) for i in range(len(state))]

    def _goes_on(self, cell: Cell, drive: Drive) -> None:
        """Takes the drive of one more step, which must be that of the others."""
        stream, builder = drive.stream, self.tracing.builder
        if drive.step is not None and drive.step == cell.steps - 1:
            stream = self.tracing.delayed(stream)
        elif drive.step not in (None, cell.steps):
            raise self._out_of_step(cell.steps, drive)
        if stream is (cell.recurrent or cell.drive):
            return
        late = tuple(term for term in stream.terms if term.late)
        now = tuple(term for term in stream.terms if not term.late)
        begins = cell.steps == 1 and late and _alike(cell.drive, replace(stream, terms=now))
        if not begins:
            raise LoweringError("what drives it is not the same at each time step")
        cell.recurrent = stream
        fed = replace(stream, terms=late, offset=np.zeros(stream.shape))
        builder.recur(cell.name, _in_thresholds(fed, cell.settings)[0])

    def _out_of_step(self, step: int, drive: Drive) -> LoweringError:
        """That a neuron at a step is driven by what was sent at another."""
        assert drive.step is not None  # noqa: S101  else it would be the same at each step
        of_images = {term.source for term in drive.stream.terms} == {self.tracing.builder.populations[0].name}
        what, hint = ("frames", IN_ORDER) if of_images else ("spikes", ONE_STEP)
        return LoweringError(f"at its step {step + 1} it is driven by {what} of step {drive.step + 1}", hint=hint)

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
        if drive.step not in (None, 0):
            raise self._out_of_step(0, drive)
        try:
            stream, threshold = _in_thresholds(drive.stream, settings)
        except ValueError:
            raise LoweringError(f"its threshold has shape {settings.threshold.shape}, and it has {shape}") from None
        path = self.tracing.names[neuron].removesuffix(".cell")
        name = self.tracing.builder.free_name(path or "neurons")
        spikes = self.tracing.builder.spiking(
            stream,
            name,
            threshold,
            decay_u=settings.decay_u,
            decay_v=settings.decay_v,
            reset_by=None if settings.taken is None else settings.taken * threshold,
        )
        return Cell(name, neuron, settings, drive.stream, spikes)


def _in_thresholds(stream: Stream, settings: Settings) -> tuple[Stream, float]:
    """A drive and the one threshold that it meets: where these differ between neurons, 1, and the drive counts them."""
    if settings.threshold.size == 1:
        return stream, float(settings.threshold.flat[0])
    return streams.scale(stream, 1 / np.broadcast_to(settings.threshold, stream.shape)), 1.0


def _alike(first: Stream, second: Stream) -> bool:
    """Whether two streams are the same function, made of operations of their own."""
    room = SAME * max(float(np.abs(first.offset).max(initial=0)), 1e-30)
    return (
        len(first.terms) == len(second.terms)
        and all(_same_term(a, b) for a, b in zip(first.terms, second.terms, strict=True))
        and bool(np.allclose(first.offset, second.offset, rtol=0, atol=room))
    )


def _same_term(first: Term, second: Term) -> bool:
    a, b = first.op, second.op
    if first.source != second.source or first.late or second.late or type(a) is not type(b):
        return False
    if a is b or a is None or b is None:
        return a is b
    said = [{key: value for key, value in vars(op).items() if key != "weight"} for op in (a, b)]
    return said[0] == said[1] and np.array_equal(a.weight, b.weight)


def _in(names: tuple[str, ...], given: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, given.get(name)) for name in names]


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
