"""Room for frames in time: in memory, or, where they are many, in a file that nobody sees and that goes with them."""

from __future__ import annotations

import os
import tempfile
from math import prod

import numpy as np
import numpy.typing as npt

from kdsnn.files.writing import writing

__all__ = ["HELD", "room_for"]

HELD = 2**29  # bytes that are held in memory; more lie in the folder of temporary files (TMPDIR)


def room_for(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """An array of zeros, uint8. Parts of a large one are in memory only while they are used.

    Raises:
        InputError: the folder of temporary files has no room for it.
    """
    if prod(shape) <= HELD:
        return np.zeros(shape, np.uint8)
    with writing(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, prod(shape))  # a hole in it would be a bus error on a full disk
        return np.memmap(file, np.uint8, "w+", shape=shape)  # the file has no name, and is gone with the last view
