"""One recording of events, in a file of its own: when which pixel became brighter or darker.

    .npy              a table with columns x, y, t, p, or an array whose fields have these names
    .npz              arrays x, y, t and p
    .bin              as N-MNIST and N-Caltech101 are published                    (extra events)
    .aedat            versions 2 and 3.1, of a DVS128, as DVS128 Gesture was recorded   (extra events)
    .aedat4           version 4, as CIFAR10-DVS is published                       (extra events)

The extra is tonic's readers. Nothing in a file is unpickled.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, MissingExtraError

__all__ = ["RECORDINGS", "Events", "check_tonic", "fields_of", "read_recording"]

Events = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]  # x, y, t, p
RECORDINGS = (".npy", ".npz", ".bin", ".aedat", ".aedat4")
NAMES = ("x", "y", "t", "p")
EXTRA = "events"


def read_recording(file: Path) -> Events:
    """Columns, rows, times and polarities of the events in a file, each `(events,)`.

    Raises:
        InputError: it cannot be read, or holds no events.
        MissingExtraError: its format needs tonic, which is not installed.
    """
    suffix = file.suffix.lower()
    if suffix not in (".npy", ".npz"):
        check_tonic(f"{suffix} files")
    try:
        if suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return _checked(tuple(np.asarray(arrays[name]) for name in NAMES), file)
        return _checked(_read(file, suffix), file)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{file} cannot be read as events: {type(error).__name__}: {str(error)[:200]}",
            hint="write numpy.savez(path, x=x, y=y, t=t, p=p)",
        ) from error


def check_tonic(what: str) -> None:
    """Raises MissingExtraError unless tonic is installed."""
    if find_spec("tonic") is None:
        raise MissingExtraError(f"tonic, which reads {what},", EXTRA)


def fields_of(table: npt.NDArray[Any]) -> Events:
    """The events of an array with the fields x, y, t and p."""
    x, y, t, p = (np.asarray(table[name]) for name in NAMES)
    return x, y, t, p


def _read(file: Path, suffix: str) -> Events:
    if suffix == ".npy":
        table = np.load(file, allow_pickle=False)
        if table.dtype.names:
            return fields_of(table)
        if table.ndim != 2 or table.shape[1] != 4:
            raise InputError(f"{file} has shape {table.shape}: no columns x, y, t, p (events, 4)")
        x, y, t, p = table.T
        return x, y, t, p
    from tonic import io

    if suffix == ".bin":
        return fields_of(io.read_mnist_file(str(file), np.dtype([(name, np.int64) for name in NAMES])))
    if suffix == ".aedat4":
        table = io.read_aedat4(str(file))
        return table["x"], table["y"], table["t"], table["on" if "on" in (table.dtype.names or ()) else "p"]
    version, begin, *_ = io.read_aedat_header_from_file(str(file))
    words = io.get_aer_events_from_file(str(file), version, begin)
    address, t = words["address"].astype(np.int64), words["timeStamp"].astype(np.int64)
    if version < 3:  # of a DVS128: x, y and polarity in 15 bits
        return (address >> 8) & 0x7F, (address >> 1) & 0x7F, t, address & 1
    return (address >> 17) & 0x1FFF, (address >> 2) & 0x1FFF, t, (address >> 1) & 1


def _checked(events: tuple[npt.NDArray[Any], ...], file: Path) -> Events:
    x, y, t, p = events
    for name, values in zip(NAMES, (x, y, t, p), strict=True):
        if values.ndim != 1 or values.dtype.kind not in ("buif" if name == "t" else "bui"):
            whole = values.dtype.kind == "f" and values.ndim == 1 and bool((values == np.rint(values)).all())
            if not whole:
                raise InputError(
                    f"{file}: {name} is {values.dtype} of shape {values.shape}, no whole numbers (events,)"
                )
    return x, y, t, p
