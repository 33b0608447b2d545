"""Arrays in files of their own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.files.writing import write_atomic

__all__ = ["write_array"]


def write_array(path: Path, array: npt.NDArray[Any], *, synced: bool = True) -> None:
    """Writes an array as `.npy`; see `write_atomic`."""
    header, whole = io.BytesIO(), np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(whole))
    write_atomic(path, (header.getvalue(), whole.reshape(-1).view(np.uint8).data), synced=synced)
