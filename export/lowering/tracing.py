"""Tracing: a module runs as Python runs it, on tensors without numbers, and each operation is looked at as it comes.

So nothing is taken by its name: a layer is what its forward calls, with its hooks and parametrizations, and a loop
over time steps is the steps that it makes. Only operations that are known to be linear are carried (`linear_functions`,
`arithmetic`), those that put a tensor into another shape or order (`shape_functions`), and the neurons of snnTorch
(`neuron_calls`). Everything else is a problem, and all problems of a module are found before it is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Never

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import arithmetic, linear_functions, shape_functions
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_stream import Stream
from kdsnn.export.lowering.network_builder import Builder
from kdsnn.export.lowering.places import Place, line_of_error, place_of_call
from kdsnn.export.lowering.traced import Drive, Order, Part, Refused, State, Total, Traced, traced_in
from kdsnn.network import Input

__all__ = ["BATCH", "Stopped", "Tracing"]

BATCH = 13  # images at once while a module is traced: a number that no layer is likely to have for another reason
READ = frozenset(  # properties that say nothing about the numbers
    ["shape", "dtype", "device", "ndim", "layout", "requires_grad", "is_leaf", "grad_fn", "is_cuda", "is_sparse"]
)
ASKED = frozenset(["size", "dim", "ndimension", "numel", "nelement", "stride", "is_floating_point", "is_contiguous"])
ANY_BATCH = f"it is shown {BATCH} images at once here: their number must not matter, as in x.flatten(1)"
TABLES = (linear_functions.HANDLERS, arithmetic.HANDLERS, shape_functions.HANDLERS)


class Stopped(BaseException):
    """Ends a tracing that cannot go on. Not an `Exception`, so that no handler of the user's code takes it."""


class Tracing:
    """One module, while it is traced.

    Args:
        module: that is traced.
        builder: where its populations and projections go.
        dtype: that the module computes in.
    """

    def __init__(self, module: nn.Module, builder: Builder, dtype: torch.dtype) -> None:
        self.module, self.builder, self.dtype = module, builder, dtype
        self.names: dict[nn.Module, str] = {layer: name for name, layer in module.named_modules()}
        self.ended = False
        self.problems: dict[str, str] = {}  # with what to do about each
        self._known: dict[Any, Stream] = {}
        self._digests: dict[int, tuple[torch.Tensor, int, str]] = {}

    def run(self, image: Stream, steps: Sequence[int | None] = (None,), order: Order = Order.NOW) -> Any:
        """What the module returns for images.

        Args:
            image: what one step sends.
            steps: that it is given: None alone for still images.
            order: where they stand in the tensor that it is given.

        Raises:
            Stopped: it could not be traced to its end; the problems say why.
        """
        lead = {Order.NOW: (BATCH,), Order.STACKED: (len(steps), BATCH), Order.FOLDED: (len(steps) * BATCH,)}[order]
        images = Traced(self, (*lead, *image.shape), [Drive(image, step) for step in steps], order)
        try:
            return self.module(images)
        except Exception as error:
            if self.problems:
                raise Stopped from error  # it may well be a consequence
            self.stop(f"it raised {type(error).__name__}: {str(error)[:300]}{line_of_error(error)}", ANY_BATCH)

    # What the functions of torch that are called with a traced tensor do.

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function of torch makes of traced tensors.

        Raises:
            LoweringError: the tracing has ended, and the module uses what it kept of it.
        """
        if self.ended:
            raise LoweringError("it keeps tensors from one call to the next", hint="make lists and states in forward")
        name = name_of(func)
        if name in READ or name in ASKED or name == "__len__":
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if name == "data":
            return args[0].detach()
        try:
            handler = next((table[func] for table in TABLES if func in table), None)
            if handler and any(isinstance(part, Refused) for one in traced_in((args, kwargs)) for part in one.parts):
                return self._of_refused(func, args, kwargs)
            if func in linear_functions.HANDLERS:
                return self._linear(func, args, kwargs)
            if handler:
                return handler(self, func, *args, **kwargs)
            mode = f" with mode {kwargs['mode']!r}" if "mode" in kwargs else ""
            raise LoweringError(
                f"operation {name!r}{mode} cannot be carried", hint=linear_functions.ADVICE.get(name, "")
            )
        except LoweringError as error:
            self.problem(error.message, error.hint)
        except (TypeError, ValueError) as error:
            self.problem(f"operation {name!r}: {error}")
        return self.skip(func, args, kwargs)

    def _linear(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
        """A function that maps streams to streams, at each time step the same."""
        given = args[0] if args else kwargs.pop("input")
        rest = args[1:]
        if not isinstance(given, Traced) or any(traced_in((rest, kwargs))):
            raise LoweringError(f"operation {name_of(func)!r} has weights that depend on the image")
        return self.mapped(
            given, lambda s: linear_functions.HANDLERS[func](self, s, *rest, **kwargs), (func, rest, kwargs)
        )

    def mapped(self, given: Traced, function: Callable[[Stream], Stream], key: Any) -> Traced:
        """What a function makes of each part; the same function of the same stream is made once."""
        parts = [self._mapped_part(part, function, key) for part in given.parts]
        lead = given.shape[: 2 if given.order is Order.STACKED else 1]
        return Traced(self, (*lead, *parts[0].stream.shape), parts, given.order)

    def _mapped_part(self, part: Part, function: Callable[[Stream], Stream], key: Any) -> Drive:
        if isinstance(part, Drive):
            return Drive(self.once((id(part.stream), key), lambda: function(part.stream)), part.step)
        raise LoweringError(f"{described(part)} enters {name_of(key[0])!r}: only spikes travel to other neurons")

    def once(self, key: Any, make: Callable[[], Stream]) -> Stream:
        """The stream of a key, made where it is new: what is computed twice alike is one thing."""
        key = self._key(key)
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def delayed(self, stream: Stream) -> Stream:
        """The stream of the time step before."""
        source = self.builder.populations[0]
        static = isinstance(source.model, Input) and source.model.static
        return self.once(("delayed", id(stream)), lambda: streams.delayed(stream, source.name if static else None))

    def _key(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self.digest(value)
        if isinstance(value, list | tuple):
            return tuple(self._key(one) for one in value)
        if isinstance(value, dict):
            return tuple((name, self._key(one)) for name, one in sorted(value.items()))
        return value

    def digest(self, tensor: torch.Tensor) -> str:
        """Of a tensor's numbers and shape."""
        known = self._digests.get(id(tensor))
        if known is None or known[1] != tensor._version:
            array = np.ascontiguousarray(tensor.detach().numpy())
            made = hashlib.sha256(array.data if array.size else b"").hexdigest() + f"{array.dtype}{array.shape}"
            known = self._digests[id(tensor)] = (tensor, tensor._version, made)
        return known[2]

    # Problems.

    def problem(self, message: str, hint: str = "", module: nn.Module | None = None) -> None:
        """Takes down what cannot be lowered, where it is, and what to do."""
        place = self.place(module)
        line = f" ({place.line})" if place.line else ""
        self.problems.setdefault(f"{place} cannot be lowered: {message}{line}", hint)

    def stop(self, message: str, hint: str = "") -> Never:
        """Takes down a problem after which nothing more can be found."""
        self.problem(message, hint)
        raise Stopped

    def place(self, module: nn.Module | None = None) -> Place:
        """Where the module is at work."""
        found = place_of_call(self.names, Tracing.run.__code__)
        return found if module is None else Place(self.names[module], type(module).__name__, found.line)

    def _of_refused(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a known function makes of something refused, which is no problem unless it fails."""
        try:
            return self.skip(func, args, kwargs)
        except Stopped as stopped:
            if stopped.__cause__ is not None:
                self.problem(f"operation {name_of(func)!r} fails: {str(stopped.__cause__)[:300]}", ANY_BATCH)
            raise

    def skip(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What stands in for the result of a function that cannot be carried: of its shape, and refused."""

        def blank(value: Any) -> Any:
            return torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, Traced) else value

        try:
            made = func(*tree_map(blank, list(args)), **tree_map(blank, dict(kwargs)))
        except Exception as error:
            raise Stopped from error
        if not isinstance(made, torch.Tensor | list | tuple):
            raise Stopped  # what follows depends on numbers
        return tree_map(lambda v: self.refused(v.shape) if isinstance(v, torch.Tensor) else v, made)

    def refused(self, shape: Sequence[int]) -> Traced:
        """What stands in for something that cannot be carried."""
        return Traced(self, shape, [Refused()])


def described(part: Part) -> str:
    """What a part is, in words."""
    if isinstance(part, State):
        return f"the state of {part.cell.name!r}"
    if isinstance(part, Total):
        return "a sum over time steps"
    return "a drive"


def name_of(func: Callable[..., Any]) -> str:
    """The name of a function of torch, or of the property that it reads."""
    name = getattr(func, "__name__", str(func))
    return str(getattr(getattr(func, "__self__", None), "__name__", name)) if name == "__get__" else str(name)
