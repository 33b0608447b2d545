"""Files of arrays, mapped into memory only where they are in use: a long run takes no more of it than a short one."""

from __future__ import annotations

import mmap
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Mapped"]

MOST = 2**22  # bytes in memory that were read or written before the system is told that they are not needed


class Mapped:
    """A .npy file.

    Args:
        path: of it.
        mode: `r` to read, `r+` to write too.

    Attributes:
        array: what is in it; a write reaches the file.
    """

    def __init__(self, path: str, mode: Literal["r", "r+"]) -> None:
        self.array: npt.NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
        self._used = 0

    def used(self, size: int) -> None:
        """So many bytes were read or written; from time to time, all go back to the file, which keeps them."""
        self._used += size
        pages = getattr(self.array, "_mmap", None)
        if self._used >= MOST and pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
            self._used = 0
