"""One recording of events, in a file of its own: when which pixel became brighter or darker.

    .npy              a table with columns x, y, t, p, or an array whose fields have these names
    .npz              arrays x, y, t and p
    .aedat, .aedat4   AEDAT 2.0 of a DVS128, 3.1, and 4 (extra events, where it is packed); see `aedat`
    .bin              as N-MNIST and N-Caltech101 are published (extra events: tonic's reader)

Nothing in a file is unpickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.events.aedat import read_aedat
from kdsnn.data.sources.columns import in_npy, in_npz
from kdsnn.errors import InputError
from kdsnn.extras import need
from kdsnn.files.reading import reading

__all__ = ["RECORDINGS", "Events", "fields_of", "read_recording"]

Events = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]  # x, y, t, p
RECORDINGS = (".npy", ".npz", ".bin", ".aedat", ".aedat4")
NAMES = ("x", "y", "t", "p")
MOST_EVENTS = 2**25  # of a recording
FAULT, HINT = "cannot be read as events", "write numpy.savez(path, x=x, y=y, t=t, p=p)"


def read_recording(file: Path) -> Events:
    """Columns, rows, times and polarities of the events in a file, each `(events,)`.

    Raises:
        InputError: it cannot be read, or holds no events.
        MissingExtraError: its format needs a package that is not installed.
    """
    suffix = file.suffix.lower()
    if suffix == ".bin":
        need("tonic")
    with reading(file, FAULT, hint=HINT):
        events = _read(file, suffix)
    return _checked(events, file)


def fields_of(table: npt.NDArray[Any]) -> Events:
    """The events of an array with the fields x, y, t and p."""
    x, y, t, p = (np.asarray(table[name]) for name in NAMES)
    return x, y, t, p


def _read(file: Path, suffix: str) -> Events:
    if suffix == ".npz":
        columns = in_npz(file, hint=HINT)
        if absent := [name for name in NAMES if name not in columns]:
            raise InputError(f"{file} {FAULT}: it has no {absent[0]}", hint=HINT)
        x, y, t, p = (columns[name].whole() for name in NAMES)
        return x, y, t, p
    if suffix == ".npy":
        table = in_npy(file).whole()
        if table.dtype.names:
            return fields_of(table)
        if table.ndim != 2 or table.shape[1] != 4:
            raise InputError(f"{file} has shape {table.shape}: no columns x, y, t, p (events, 4)")
        x, y, t, p = table.T
        return x, y, t, p
    if suffix in (".aedat", ".aedat4"):
        return read_aedat(file)
    from tonic import io

    return fields_of(io.read_mnist_file(str(file), np.dtype([(name, np.int64) for name in NAMES])))


def _checked(events: tuple[npt.NDArray[Any], ...], file: Path) -> Events:
    x, y, t, p = events
    if max(each.size for each in events) > MOST_EVENTS:
        raise InputError(f"{file}: it has more than {MOST_EVENTS:,} events", hint="cut it into several recordings")
    for name, values in zip(NAMES, (x, y, t, p), strict=True):
        if values.ndim != 1 or values.dtype.kind not in ("buif" if name == "t" else "bui"):
            whole = values.dtype.kind == "f" and values.ndim == 1 and bool((values == np.rint(values)).all())
            if not whole:
                raise InputError(
                    f"{file}: {name} is {values.dtype} of shape {values.shape}, no whole numbers (events,)"
                )
    return x, y, t, p
