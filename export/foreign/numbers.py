"""Numbers from the fields of NIR nodes, which a stranger wrote: what is none is refused by the name of the field."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdsnn.errors import InputError
from kdsnn.network import Shape

__all__ = ["MAX_CELLS", "numbers", "pair", "shape_of", "spread"]

MAX_CELLS = 2**24  # of a stream, padding included
FloatArray = npt.NDArray[np.float64]


def numbers(value: Any, what: str, *, infinite: bool = False) -> FloatArray:
    """A field as an array of numbers; raises InputError where it is none."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    try:
        values = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"its {what} is not made of numbers") from error
    if not values.size:
        raise InputError(f"its {what} is empty")
    if np.isnan(values).any() or not (infinite or np.isfinite(values).all()):
        raise InputError(f"its {what} holds a value that is not finite")
    return values


def spread(value: Any, what: str, shape: Shape, *, infinite: bool = False) -> FloatArray:
    """A parameter for each neuron: from one, from `(C, 1, 1)`, or from as many as there are."""
    values = numbers(value, what, infinite=infinite)
    if values.size == 1:
        return np.full(shape, values.item())
    if values.size == prod(shape):
        return values.reshape(shape)
    if len(shape) == 3 and values.shape == (shape[0], 1, 1):
        return np.broadcast_to(values, shape).copy()
    raise InputError(f"its {what} has shape {values.shape}, and its neurons {shape}")


def pair(value: Any, what: str, least: int) -> tuple[int, int]:
    """Whole numbers for height and width, from one or two."""
    values = numbers(value, what)
    if values.size not in (1, 2) or (values != np.round(values)).any() or values.min() < least:
        raise InputError(f"its {what} is {str(values.tolist())[:100]}, not whole numbers from {least}")
    if values.max() > MAX_CELLS:
        raise InputError(f"its {what} is {values.max():g}")
    first, second = np.broadcast_to(values.reshape(-1), (2,))
    return int(first), int(second)


def shape_of(node: Any) -> Shape | None:
    """The shape that an Input or a Flatten says it takes; None where it says none."""
    said = node.input_type.get("input") if isinstance(node.input_type, dict) else None
    if said is None:
        return None
    sizes = numbers(said, "shape").reshape(-1)
    if (sizes != np.round(sizes)).any() or np.abs(sizes).max() > MAX_CELLS or len(sizes) > 10:
        raise InputError(f"its shape is {str(sizes.tolist())[:100]}, not whole numbers")
    return tuple(int(n) for n in sizes)
