"""Writes small files in the formats of event data sets, from their published descriptions."""

import struct
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

Events = dict[str, npt.NDArray[np.int64]]


def some_events(seed: int, size: tuple[int, int], count: int = 200, *, top: bool | None = None) -> Events:
    """Events in a third of a second; above or below the middle, if that is asked for."""
    rng = np.random.default_rng(seed)
    low, high = (0, size[0]) if top is None else ((0, size[0] // 2) if top else (size[0] // 2, size[0]))
    t = np.sort(rng.integers(0, 300_000, count))
    return {"x": rng.integers(0, size[1], count), "y": rng.integers(low, high, count), "t": t, "p": t % 2}


def write_nmnist(path: Path, events: Events) -> None:
    """Five bytes an event: x, y, and 23 bits of time below the polarity, the highest first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for x, y, t, p in zip(*(events[k] for k in "xytp"), strict=True):
        rows.append(bytes([x, y, (int(p) << 7) | (int(t) >> 16), (int(t) >> 8) & 255, int(t) & 255]))
    path.write_bytes(b"".join(rows))


def write_gesture(path: Path, events: Events) -> None:
    """As tonic keeps DVS128 Gesture: rows of x, y, polarity and milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.stack([events["x"], events["y"], events["p"], events["t"] // 1000], axis=1))


def write_shd(path: Path, times: list[npt.NDArray[np.float64]], units: list[npt.NDArray[np.int64]]) -> None:
    """Seconds and channels of each recording, of lengths that differ; labels in turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes")
        for name, values, kind in (("times", times, np.float16), ("units", units, np.uint16)):
            made = group.create_dataset(name, (len(values),), dtype=h5py.vlen_dtype(kind))
            for i, one in enumerate(values):
                made[i] = one.astype(kind)
        file.create_dataset("extra/keys", data=[str(i).encode() for i in range(20)])
        file.create_dataset("extra/speaker", data=np.zeros(len(times), np.int64))
        file.create_dataset("labels", data=np.arange(len(times)) % 20)


def write_aedat3(path: Path, events: Events) -> None:
    """AEDAT 3.1: packets of polarity events, each with a header of 28 bytes."""
    words = (events["x"] << 17) | (events["y"] << 2) | (events["p"] << 1) | 1
    body = b"".join(struct.pack("<II", int(w), int(t)) for w, t in zip(words, events["t"], strict=True))
    count = len(words)
    header = struct.pack("<hhiiiiii", 1, 0, 8, 4, 0, count, count, count)
    path.write_bytes(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + header + body)


def write_aedat2(path: Path, events: Events) -> None:
    """AEDAT 2.0 of a DVS128: an address and a time of 32 bits each, the highest byte first."""
    words = (events["x"] << 8) | (events["y"] << 1) | events["p"]
    body = b"".join(struct.pack(">II", int(w), int(t)) for w, t in zip(words, events["t"], strict=True))
    path.write_bytes(b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + body)
