"""Arrays that cannot change any more: a fingerprint, or a cached data set, must stay what it was."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

__all__ = ["read_only"]


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, if nobody can write to it, or else a copy that nobody can write to."""
    if not array.flags.writeable:
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy
