"""An integer threshold with its scale and exponents, and the one rounding to integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["Candidate", "FloatArray", "Measured", "Method", "Values", "exponent_of", "integers"]

FloatArray = npt.NDArray[np.float64]
Values = TypeVar("Values", FloatArray, "torch.Tensor")


@dataclass(frozen=True)
class Candidate:
    """An integer threshold, the float value of a weight unit, and an exponent for each projection."""

    threshold: int
    scale: float
    exponents: tuple[int, ...]


Method = Callable[[float, Sequence[FloatArray], int], tuple[list[Candidate], str]]
"""From theta, the weights and the largest integer to the candidates, the best first, and what limits the best."""


@dataclass(frozen=True)
class Measured:
    """A method whose candidates are ranked by what each changes on calibration images, in whatever order they come."""

    candidates: Method

    def __call__(self, theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
        """Its candidates."""
        return self.candidates(theta, weights, largest)


def integers(values: Values, step: Any, largest: int) -> Values:
    """`round(values / step)`, halves to even, clipped to `-largest..largest`; as floats, of numpy or torch.

    Args:
        values: float64.
        step: the value of one integer. For torch a tensor on the same device: CUDA multiplies by the reciprocal of a
            plain number, which is not the same to the bit.
        largest: magnitude.
    """
    made: Values = values / step
    if isinstance(made, np.ndarray):  # in place: of large layers this is most of the time
        return np.clip(np.rint(made, out=made), -largest, largest, out=made)
    return made.round().clip(-largest, largest)


def exponent_of(value: float, largest: int) -> int:
    """The least exponent at which the value, halved so many times and rounded, is at most `largest`."""
    exponent = 0
    while np.round(value / 2**exponent) > largest:
        exponent += 1
    return exponent
