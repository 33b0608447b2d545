"""Exact integer arithmetic on Lava's layouts: `(X, Y, C)` messages, `(C_out, X, Y, C_in)` kernels.

The stock Conv model of Lava loops over channel pairs in Python, and the stock Dense model copies its active columns as
int32. These here multiply the input's windows as one matrix, add up the rows of active inputs, or add up what a pooling
kernel sees. Products and sums are integers; a narrower type is exact while no partial sum leaves its range, so float32,
int16 and uint8 serve where a bound allows them, and a wider type everywhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from windows import Windows

__all__ = ["Convolution", "EventSum", "MatrixProduct", "Pooling", "convolution", "matrix"]

FLOAT32_EXACT = 2**24  # integers below are exact in float32
INT16_MAX = 2**15 - 1
UINT8_MAX = 255
ROWS = 128  # added up at once: few enough to stay in the cache
Array = npt.NDArray[Any]  # of integers, in whatever type holds them
Int32Array = npt.NDArray[np.int32]


def exact_float(weight: Array, largest_message: int) -> type[np.float32 | np.float64]:
    """The smallest float type in which `weight @ message` is exact, for a weight whose first axis is the output."""
    rows = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(axis=1)
    return np.float32 if rows.max(initial=0) * largest_message < FLOAT32_EXACT else np.float64


def convolution(weight: Array, windows: Windows, largest_message: int) -> Convolution | Pooling:
    """What computes a convolution fastest: `Pooling` where the kernel is one, else `Convolution`."""
    pools = Pooling.fits(weight, windows, largest_message)
    return Pooling(weight, windows) if pools else Convolution(weight, windows, largest_message)


def matrix(weight: Array, largest_message: int) -> EventSum | MatrixProduct:
    """What computes a dense connection fastest: `EventSum` for spikes, else `MatrixProduct`."""
    spikes = largest_message == 1 and np.abs(weight).max(initial=0) <= INT16_MAX
    return EventSum(weight) if spikes else MatrixProduct(weight, largest_message)


class Convolution:
    """A true convolution (the kernel is flipped) of one input at a time.

    Args:
        weight: `(C_out, X, Y, C_in / groups)` integers.
        windows: of the input.
        largest_message: bound of an input value.
    """

    def __init__(self, weight: Array, windows: Windows, largest_message: int) -> None:
        groups = windows.groups // windows.lanes
        dtype = exact_float(weight, largest_message)
        self.output_shape = (*windows.size, len(weight) * windows.lanes)
        frame, self._inside = windows.frame(dtype)
        self._windows = windows.of(frame)
        self._columns: Array = np.zeros(self._windows.shape, dtype)
        positions = windows.size[0] * windows.size[1]
        self._matrix = self._columns.reshape(windows.lanes, groups, positions, -1)
        taps = weight[:, ::-1, ::-1].reshape(groups, len(weight) // groups, -1).transpose(0, 2, 1)
        self._taps = np.ascontiguousarray(taps, dtype=dtype)

    def sums(self, messages: Array) -> Int32Array:
        """The synaptic input `(X, Y, C_out)` int32 of `(X, Y, C_in)` messages."""
        self._inside[...] = messages
        np.copyto(self._columns, self._windows)
        product: Array = self._matrix @ self._taps  # (lanes, groups, positions, C_out / groups)
        total: Int32Array = product.transpose(2, 0, 1, 3).reshape(self.output_shape).astype(np.int32)
        return total


class Pooling:
    """A convolution that weighs all positions of a channel's window alike: pools, and relays of one position.

    Args:
        weight: `(C, X, Y, 1)` integers, one value a channel.
        windows: of the input.
    """

    def __init__(self, weight: Array, windows: Windows) -> None:
        self._scale = np.tile(weight[:, 0, 0, 0].astype(np.int32), windows.lanes)
        self._frame, self._inside = windows.frame(np.uint8)
        self._taps = list(windows.taps(self._frame))

    @staticmethod
    def fits(weight: Array, windows: Windows, largest_message: int) -> bool:
        """Whether a kernel is one of these, and its windows add up in eight bits."""
        alone = weight.shape[3] == 1 and len(weight) * windows.lanes == windows.groups
        return (
            alone
            and largest_message * len(weight[0].ravel()) <= UINT8_MAX
            and bool((weight == weight[:, :1, :1]).all())
        )

    def sums(self, messages: Array) -> Int32Array:
        """The synaptic input `(X, Y, C)` int32 of `(X, Y, C)` messages."""
        self._inside[...] = messages
        total = self._taps[0].copy()
        for tap in self._taps[1:]:
            total += tap
        return total * self._scale


class MatrixProduct:
    """A dense connection of one input at a time.

    Args:
        weight: `(out, in)` integers.
        largest_message: bound of an input value.
    """

    def __init__(self, weight: Array, largest_message: int) -> None:
        self._weight = np.ascontiguousarray(weight, dtype=exact_float(weight, largest_message))

    def sums(self, messages: Array) -> Int32Array:
        """The accumulated input `(out,)` int32 of `(in,)` messages."""
        return (self._weight @ messages.astype(self._weight.dtype)).astype(np.int32)


class EventSum:
    """A dense connection that spikes drive: adds up the rows of the inputs that fired, so silence costs nothing.

    Args:
        weight: `(out, in)` integers of 16 bits.
    """

    def __init__(self, weight: Array) -> None:
        self._rows = np.ascontiguousarray(weight.T, dtype=np.int16)
        largest = max(1, int(np.abs(weight).max(initial=0)))
        self._at_once = max(1, min(ROWS, INT16_MAX // largest))  # so many rows cannot leave 16 bits
        self._taken = np.empty((self._at_once, len(weight)), np.int16)

    def sums(self, messages: Array) -> Int32Array:
        """The accumulated input `(out,)` int32 of `(in,)` messages; each that is not zero is a spike."""
        total = np.zeros(self._rows.shape[1], np.int32)
        fired = np.flatnonzero(messages)
        for begin in range(0, len(fired), self._at_once):
            some = fired[begin : begin + self._at_once]
            rows = self._rows.take(some, axis=0, out=self._taken[: len(some)], mode="clip")
            total += np.add.reduce(rows, axis=0, dtype=np.int16)
        return total
