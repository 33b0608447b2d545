"""The functions of torch that move numbers: other shapes, time steps put together and taken apart; sums over time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.arithmetic import added
from kdsnn.export.lowering.linear_functions import image_mean, torch_functions
from kdsnn.export.lowering.linear_stream import Stream
from kdsnn.export.lowering.traced import Drive, Order, Part, Total, Traced
from kdsnn.export.lowering.unrolling import check_size
from kdsnn.network import Conv2d

if TYPE_CHECKING:
    from kdsnn.export.lowering.tracing import Tracing

__all__ = ["HANDLERS", "TAKES_APART"]

TAKES_APART = "it takes the images of a batch apart"

Function = Callable[..., Any]


def _same(_tracing: Tracing, _func: Function, input: Traced) -> Traced:  # noqa: A002  torch's name
    return input


def _copied(tracing: Tracing, _func: Function, input: Traced, **_kwargs: Any) -> Traced:  # noqa: A002
    return Traced(tracing, input.shape, input.parts, input.order)


def _converted(tracing: Tracing, func: Function, input: Traced, *args: Any, **kwargs: Any) -> Traced:  # noqa: A002
    """To another device or number format: of those that hold spikes and weights, all alike."""
    made = func(torch.empty(1, dtype=tracing.dtype), *(one for one in args if not isinstance(one, Traced)), **kwargs)
    if made.dtype not in (torch.float32, torch.float64):
        raise LoweringError(f"it converts to {made.dtype}", hint="leave it in float32")
    return _copied(tracing, func, input)


def _shaped(tracing: Tracing, func: Function, input: Traced, *args: Any, **kwargs: Any) -> Traced:  # noqa: A002
    """The same numbers in the same order in another shape: images apart from each other, as they are or flattened."""
    shape = func(torch.empty(input.shape, device="meta"), *args, **kwargs).shape
    images, steps = _images(input), len(input.parts)
    own = input.shape[2 if input.order is Order.STACKED else 1 :]
    leads = {Order.NOW: (images,), Order.STACKED: (steps, images), Order.FOLDED: (steps * images,)}
    for order, lead in leads.items():
        if order is Order.NOW and steps > 1:
            continue
        rest = shape[len(lead) :]
        if shape[: len(lead)] != lead:
            continue
        if rest == own:
            return Traced(tracing, shape, input.parts, order)
        if rest == (prod(own),) and all(isinstance(part, Drive) for part in input.parts):
            flat = tracing.mapped(input, streams.flatten, ("flatten",))
            return Traced(tracing, shape, flat.parts, order)
    names = {images: "B"} | ({steps * images: "T * B"} if input.order is Order.FOLDED else {})
    made, had = (f"({', '.join(names.get(size, str(size)) for size in sizes)})" for sizes in (shape, input.shape))
    raise LoweringError(
        f"it makes {made} of {had}",
        hint="an image can be flattened, x.flatten(1), and else keeps its shape (B, C, H, W)",
    )


def _images(given: Traced) -> int:
    if given.order is Order.STACKED:
        return int(given.shape[1])
    return int(given.shape[0]) // (len(given.parts) if given.order is Order.FOLDED else 1)


def _expanded(tracing: Tracing, func: Function, input: Traced, *args: Any, **kwargs: Any) -> Traced:  # noqa: A002
    """The same at every step: `(1, B, ...)` becomes `(T, B, ...)`, by `repeat` `(B, ...)` also `(T * B, ...)`."""
    shape = func(torch.empty(input.shape, device="meta"), *args, **kwargs).shape
    if len(input.parts) == 1 and shape[1:] == input.shape[1:]:
        times, order = shape[0] // input.shape[0], input.order
        if order is Order.NOW and times > 1 and name_is(func, "repeat"):
            order = Order.FOLDED
        if order is not Order.NOW or times == 1:
            return Traced(tracing, shape, input.parts * times, order)
    raise LoweringError("it repeats something else than the whole of an image at all time steps")


def name_is(func: Function, name: str) -> bool:
    """Whether a function is torch's of that name."""
    return func is getattr(torch.Tensor, name)


def _stacked(tracing: Tracing, _func: Function, tensors: Any, dim: int = 0) -> Traced:
    """Of a list with a tensor a step, `(T, B, ...)`."""
    parts, shape = _of_steps(tensors)
    if dim not in (0, -len(shape) - 1):
        raise LoweringError(f"it stacks along dimension {dim}", hint="put time first: torch.stack(list)")
    return Traced(tracing, (len(parts), *shape), parts, Order.STACKED)


def _joined(tracing: Tracing, _func: Function, tensors: Any, dim: int = 0) -> Traced:
    """Time steps in the batch, `(T * B, ...)`; or the channels of several tensors, behind each other."""
    if dim == 0:
        parts, shape = _of_steps(tensors)
        order = Order.FOLDED if len(parts) > 1 else Order.NOW
        return Traced(tracing, (len(parts) * shape[0], *shape[1:]), parts, order)
    tensors = list(tensors)
    alike = all(isinstance(one, Traced) and one.order is not Order.STACKED for one in tensors)
    if not alike or dim not in (1, 1 - tensors[0].dim()):
        raise LoweringError("only channels of images of one size, and vectors, can be put together: torch.cat(list, 1)")
    channels = sum(one.shape[1] for one in tensors)
    begins = np.cumsum([0, *(one.shape[1] for one in tensors)])
    placed = [_placed(tracing, one, int(begin), channels) for one, begin in zip(tensors, begins, strict=False)]
    return reduce(partial(added, tracing), placed)


def _placed(tracing: Tracing, given: Traced, begin: int, channels: int) -> Traced:
    """A tensor among more channels, which are zero."""

    def place(stream: Stream) -> Stream:
        own = stream.shape[0]
        check_size(channels * own, "a matrix")
        weight = np.zeros((channels, own))
        weight[begin : begin + own] = np.eye(own)
        if len(stream.shape) == 1:
            return streams.multiply(stream, weight)
        return streams.convolve(stream, Conv2d(weight[:, :, None, None]))

    return tracing.mapped(given, place, ("cat", begin, channels))


def _of_steps(tensors: Any) -> tuple[list[Part], tuple[int, ...]]:
    tensors = list(tensors)
    shapes = {tuple(one.shape) for one in tensors}
    if len(shapes) != 1 or any(not isinstance(one, Traced) or one.order is not Order.NOW for one in tensors):
        raise LoweringError("it puts together what is not one tensor (B, ...) for each time step")
    return [one.parts[0] for one in tensors], shapes.pop()


def _unbound(tracing: Tracing, _func: Function, input: Traced, dim: int = 0) -> tuple[Traced, ...]:  # noqa: A002
    """One tensor for each time step."""
    if input.order is not Order.STACKED or dim != 0:
        raise LoweringError(
            TAKES_APART,
            hint="a module is shown images (B, C, H, W), the same at every time step; with in_time=True (--in-time)"
            " frames (T, B, C, H, W), one for each",
        )
    return tuple(Traced(tracing, input.shape[1:], [part]) for part in input.parts)


def _item(tracing: Tracing, func: Function, input: Any, index: Any) -> Traced:  # noqa: A002
    """One time step, or some of them."""
    if isinstance(index, slice) and isinstance(input, Traced) and input.order is Order.STACKED:
        parts = input.parts[index]
        return Traced(tracing, (len(parts), *input.shape[1:]), parts, input.order)
    if not isinstance(index, int):
        raise LoweringError(
            "it takes a part of an image", hint="only whole images can be carried; frames come time first, (T, B, ...)"
        )
    return _unbound(tracing, func, input)[index]


def _summed(tracing: Tracing, _func: Function, input: Traced, dim: Any = None, keepdim: bool = False) -> Traced:  # noqa: A002
    """Over time, `(T, B, ...)` to `(B, ...)`."""
    return _total(tracing, input, dim, keepdim, 1.0)


def _averaged(tracing: Tracing, func: Function, input: Traced, *args: Any, **kwargs: Any) -> Traced:  # noqa: A002
    """Over time, or over height and width."""
    dim = args[0] if args else kwargs.get("dim")
    if input.order is Order.STACKED and dim in (0, (0,), [0]):
        return _total(tracing, input, dim, kwargs.get("keepdim", False), 1 / len(input.parts))
    return tracing.mapped(input, lambda s: image_mean(tracing, s, *args, **kwargs), (func, args, kwargs))


def _total(tracing: Tracing, given: Traced, dim: Any, keepdim: bool, scale: float) -> Traced:
    if given.order is not Order.STACKED or dim not in (0, (0,), [0]) or keepdim:
        raise LoweringError("a sum over anything but time steps, (T, B, ...).sum(0), cannot be carried")
    drives = [part for part in given.parts if isinstance(part, Drive)]
    if len(drives) < len(given.parts) or any(part.stream is not drives[0].stream for part in drives):
        raise LoweringError("it sums up over time what is not the spikes of one layer")
    total = Total(drives[0].stream, tuple(part.step for part in drives), scale)
    return Traced(tracing, given.shape[1:], [total])


def _zeros(_tracing: Tracing, func: Function, input: Traced, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: A002
    """Constants of the same shape, or of one that is given."""
    made: torch.Tensor = func(torch.empty(input.shape, dtype=input.dtype), *args, **kwargs)
    return made


def _compared(_tracing: Tracing, func: Function, input: Any, other: Any) -> bool:  # noqa: A002
    """With None alone: whether there is a state already."""
    if input is not None and other is not None:
        raise LoweringError(f"operation {func.__name__!r} compares numbers", hint="only neurons compare")
    return func is torch.Tensor.ne


MADE: dict[str, Function] = {
    "cat": _joined,
    "concat": _joined,
    "contiguous": _copied,
    "clone": _copied,
    "cpu": _same,
    "detach": _copied,
    "detach_": _same,
    "double": _converted,
    "eq": _compared,
    "expand": _expanded,
    "flatten": _shaped,
    "float": _converted,
    "mean": _averaged,
    "ne": _compared,
    "new_full": _zeros,
    "new_ones": _zeros,
    "new_zeros": _zeros,
    "ones_like": _zeros,
    "repeat": _expanded,
    "requires_grad_": _same,
    "reshape": _shaped,
    "squeeze": _shaped,
    "stack": _stacked,
    "sum": _summed,
    "to": _converted,
    "type_as": _converted,
    "unbind": _unbound,
    "unflatten": _shaped,
    "unsqueeze": _shaped,
    "view": _shaped,
    "zeros_like": _zeros,
    "__getitem__": _item,
}
HANDLERS: dict[Function, Function] = torch_functions(MADE)
