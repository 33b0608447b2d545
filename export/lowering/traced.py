"""The tensors that a module is given while it is traced: they have shapes and no numbers, and know what they stand for.

Each operation on one comes to the tracing that made it (`tracing.py`), through torch's own protocol for tensor-like
objects, whoever calls it: a layer, a hook, a parametrization, or a forward of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch

from kdsnn.export.lowering.linear_stream import Stream

if TYPE_CHECKING:
    from kdsnn.export.lowering.neuron_calls import Cell
    from kdsnn.export.lowering.tracing import Tracing

__all__ = ["Drive", "Order", "Part", "Refused", "State", "Total", "Traced", "traced_in"]


@dataclass(frozen=True)
class Drive:
    """A linear function of spikes of one time step; of the image alone, the same at every step, where it is None."""

    stream: Stream
    step: int | None


@dataclass(frozen=True)
class Total:
    """The sum of one drive over several time steps, perhaps scaled: what scores are made of."""

    stream: Stream
    steps: tuple[int | None, ...]
    scale: float = 1.0


@dataclass(frozen=True)
class State:
    """A potential or current that a neuron keeps from one step to the next: good for that, and for nothing else."""

    cell: Cell
    index: int
    step: int


@dataclass(frozen=True)
class Refused:
    """What was made of something that cannot be lowered. It is a problem already; what is made of it is none."""


Part = Drive | Total | State | Refused


class Order(Enum):
    """Where time stands in a tensor of B images."""

    NOW = "(B, ...)"
    STACKED = "(T, B, ...)"
    FOLDED = "(T * B, ...)"


class Traced(torch.Tensor):
    """A tensor without numbers.

    Attributes:
        tracing: that it belongs to.
        parts: what it stands for; one for each time step, unless the order is NOW.
        order: where time stands in its shape.
    """

    tracing: Tracing
    parts: tuple[Part, ...]
    order: Order

    @staticmethod
    def __new__(cls, tracing: Tracing, shape: Sequence[int], parts: Sequence[Part], order: Order = Order.NOW) -> Traced:
        """A tensor of the given shape."""
        made: Traced = torch.Tensor._make_wrapper_subclass(cls, tuple(shape), dtype=tracing.dtype)
        made.tracing, made.parts, made.order = tracing, tuple(parts), order
        return made

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every function of torch that is called with one."""
        return next(traced_in((args, kwargs))).tracing.call(func, tuple(args), dict(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch has no types for it
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What got past the functions, from C++ code: there are no numbers to compute with."""
        next(traced_in((args, kwargs))).tracing.stop(f"operation {str(func)!r} is no function of torch that is known")


def traced_in(value: Any) -> Iterator[Traced]:
    """The traced tensors in nested lists, tuples and dicts."""
    if isinstance(value, Traced):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from traced_in(one)
    elif isinstance(value, dict):
        yield from traced_in(list(value.values()))
