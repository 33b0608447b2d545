"""Sums, differences and products: of two tensors of spikes, and of one with constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.composition import gathered
from kdsnn.export.lowering.linear_functions import numbers_of, torch_functions
from kdsnn.export.lowering.linear_stream import FloatArray, Stream
from kdsnn.export.lowering.traced import Drive, Order, Part, Total, Traced

if TYPE_CHECKING:
    from kdsnn.export.lowering.tracing import Tracing

__all__ = ["HANDLERS", "added"]


def _add(tracing: Tracing, _func: Any, input: Any, other: Any, *, alpha: float = 1) -> Traced:  # noqa: A002  torch's name
    return _sum(tracing, input, 1.0, other, float(alpha))


def _sub(tracing: Tracing, _func: Any, input: Any, other: Any, *, alpha: float = 1) -> Traced:  # noqa: A002
    return _sum(tracing, input, 1.0, other, -float(alpha))


def _rsub(tracing: Tracing, _func: Any, input: Any, other: Any, *, alpha: float = 1) -> Traced:  # noqa: A002
    return _sum(tracing, input, -float(alpha), other, 1.0)


def _mul(tracing: Tracing, _func: Any, input: Any, other: Any) -> Traced:  # noqa: A002
    given, constant = (input, other) if isinstance(input, Traced) else (other, input)
    return _times(tracing, given, constant, lambda value: value, "mul")


def _div(tracing: Tracing, _func: Any, input: Any, other: Any, *, rounding_mode: str | None = None) -> Traced:  # noqa: A002
    if rounding_mode is not None or not isinstance(input, Traced):
        raise LoweringError("only a division by a constant, without rounding, is linear")
    return _times(tracing, input, other, _inverse, "div")


def _inverse(value: FloatArray) -> FloatArray:
    if (value == 0).any():
        raise LoweringError("it divides by zero")
    return 1 / value


def _neg(tracing: Tracing, _func: Any, input: Traced) -> Traced:  # noqa: A002
    return _times(tracing, input, -1, lambda value: value, "mul")


def _in_place(plain: Callable[..., Traced]) -> Callable[..., Traced]:
    """The same on the first tensor itself."""

    def changed(tracing: Tracing, func: Any, input: Any, *args: Any, **kwargs: Any) -> Traced:  # noqa: A002
        made = plain(tracing, func, input, *args, **kwargs)
        if isinstance(input, Traced):
            input.parts, input.order = made.parts, made.order
            return input
        return made  # `total += spikes` binds the name anew

    return changed


def _sum(tracing: Tracing, first: Any, by: float, second: Any, also_by: float) -> Traced:
    if isinstance(first, Traced) and isinstance(second, Traced):
        return added(tracing, _weighted(tracing, first, by), _weighted(tracing, second, also_by))
    if isinstance(second, Traced):
        first, by, second, also_by = second, also_by, first, by
    given = _weighted(tracing, first, by)
    value = also_by * _constant(tracing, second, given)
    if not np.any(value) and all(isinstance(part, Drive | Total) for part in given.parts):
        return given  # where a sum over steps begins
    return tracing.mapped(given, lambda s: replace(s, offset=s.offset + _of(value, s)), ("add", value.tobytes()))


def _weighted(tracing: Tracing, given: Traced, factor: float) -> Traced:
    return given if factor == 1 else _times(tracing, given, factor, lambda value: value, "mul")


def added(tracing: Tracing, first: Traced, second: Traced) -> Traced:
    """The sum of two tensors of one shape."""
    if first.order is not second.order or len(first.parts) != len(second.parts) or first.shape != second.shape:
        raise LoweringError(f"a sum of shapes {tuple(first.shape)} and {tuple(second.shape)}")
    parts = [_two_parts(tracing, a, b) for a, b in zip(first.parts, second.parts, strict=True)]
    return Traced(tracing, first.shape, parts, first.order)


def _two_parts(tracing: Tracing, first: Part, second: Part) -> Part:
    if isinstance(first, Drive) and isinstance(second, Drive):
        found = [part.step for part in (first, second) if part.step is not None]
        apart = max(found, default=0) - min(found, default=0)
        if apart == 0 or (apart == 1 and first.stream is not second.stream):
            one, other = (_at(tracing, part, max(found, default=None)) for part in (first, second))
            made = tracing.once(("sum", id(one), id(other)), lambda: gathered(streams.add(one, other)))
            return Drive(made, max(found, default=None))
    totals = [Total(p.stream, (p.step,)) if isinstance(p, Drive) else p for p in (first, second)]
    a, b = totals
    if isinstance(a, Total) and isinstance(b, Total):
        if a.stream is b.stream and a.scale == b.scale:
            return replace(a, steps=a.steps + b.steps)
        raise LoweringError("it adds spikes of different time steps", hint=streams.ONE_STEP)
    raise LoweringError("it adds the state of a neuron", hint="only spikes travel to other neurons")


def _at(tracing: Tracing, drive: Drive, step: int | None) -> Stream:
    """A drive of a step, or of the one before, as that step has it."""
    return drive.stream if drive.step in (None, step) else tracing.delayed(drive.stream)


def _times(
    tracing: Tracing, given: Traced, constant: Any, power: Callable[[FloatArray], FloatArray], name: str
) -> Traced:
    if isinstance(constant, Traced):
        raise LoweringError("a product of two things that depend on the image is not linear")
    value = power(_constant(tracing, constant, given))
    if all(isinstance(part, Total) for part in given.parts):
        if value.size != 1 or float(value) <= 0:
            raise LoweringError("scores over time steps can be scaled by one positive number only")
        parts = [replace(part, scale=part.scale * float(value)) for part in given.parts if isinstance(part, Total)]
        return Traced(tracing, given.shape, parts, given.order)
    return tracing.mapped(given, lambda s: streams.scale(s, _of(value, s)), (name, value.shape, value.tobytes()))


def _constant(tracing: Tracing, value: Any, given: Traced) -> FloatArray:
    """A constant as it meets one image at one step: a number, or an array that can be broadcast."""
    if isinstance(value, bool | int | float):
        return numbers_of(torch.tensor(value, dtype=tracing.dtype))  # as torch rounds it
    if not isinstance(value, torch.Tensor):
        raise LoweringError(f"arithmetic with a {type(value).__name__}")
    if not (value.is_floating_point() or value.dtype in (torch.int64, torch.int32, torch.uint8, torch.bool)):
        raise LoweringError(f"arithmetic with {value.dtype}")
    array = numbers_of(value)
    lead = 2 if given.order is Order.STACKED else 1
    own = given.dim() - lead
    for axis in range(max(array.ndim - own, 0)):
        if array.shape[0] > 1 and (array != array[:1]).any():
            what = "images of a batch" if axis or lead == 1 else "time steps"
            raise LoweringError(f"arithmetic with a constant that differs between the {what}")
        if array.shape[0] not in (1, given.shape[axis]):
            raise LoweringError(f"arithmetic with a constant of shape {tuple(value.shape)}")
        array = array[0]
    return array


def _of(value: FloatArray, stream: Stream) -> FloatArray:
    try:
        made: FloatArray = np.broadcast_to(value, stream.shape)
    except ValueError:
        raise LoweringError(f"arithmetic with a constant of shape {value.shape} changes shape {stream.shape}") from None
    return made


PLAIN: dict[str, Callable[..., Traced]] = {
    "add": _add,
    "div": _div,
    "divide": _div,
    "mul": _mul,
    "multiply": _mul,
    "neg": _neg,
    "negative": _neg,
    "rsub": _rsub,
    "sub": _sub,
    "subtract": _sub,
    "true_divide": _div,
    "__rsub__": _rsub,
}
IN_PLACE = {f"{name}_": _in_place(PLAIN[name]) for name in ("add", "div", "mul", "sub")}
HANDLERS: dict[Callable[..., Any], Callable[..., Any]] = torch_functions(PLAIN | IN_PLACE)
