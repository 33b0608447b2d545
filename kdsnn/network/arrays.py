"""Arrays that cannot change any more: a fingerprint, or a cached data set, must stay what it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["freeze", "read_only"]


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, if nobody can write to its memory, or else a copy that nobody can write to."""
    if not _writable(array):
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def freeze(*arrays: npt.NDArray[Any]) -> None:
    """Lets nobody write to the memory of arrays any more, through whichever view; nothing is copied."""
    for array in arrays:
        owner: object = array
        while isinstance(owner, np.ndarray):
            owner.flags.writeable = False
            owner = owner.base


def _writable(array: npt.NDArray[Any]) -> bool:
    """Whether the array, or one that it is a view of, can be written to."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return not isinstance(owner, bytes | None)
