"""Writes small files in the formats of event data sets, from their published descriptions."""

import struct
from pathlib import Path

import h5py
import lz4.frame
import numpy as np
import numpy.typing as npt
import zstandard

Events = dict[str, npt.NDArray[np.int64]]


def by_hand(events: Events, size: tuple[int, int], steps: int) -> npt.NDArray[np.uint8]:
    """The frames of events, one event after another."""
    frames = np.zeros((steps, 2, *size), np.uint8)
    first, last = events["t"].min(), events["t"].max()
    for x, y, t, p in zip(*(events[k] for k in "xytp"), strict=True):
        frames[min((t - first) * steps // (last - first), steps - 1), p, y, x] = 255
    return frames


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


def write_aedat2(path: Path, events: Events, *, camera: str = "ch.unizh.ini.jaer.chip.retina.DVS128") -> None:
    """AEDAT 2.0 of a DVS128, as jAER has it: an address and a time of 32 bits each, the highest byte first.

    The sensor counts x from the right and y from the bottom, and clears the last bit where a pixel became brighter.
    Between the events lies one that is no pixel's: of the camera's input for signals.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = [
        "!AER-DAT2.0",
        " This is a raw AE data file - do not edit",
        " Timestamps tick is 1 us",
        f" AEChip: {camera}",
    ]
    words = [((127 - y) << 8) | ((127 - x) << 1) | (1 - p) for x, y, p in zip(*(events[k] for k in "xyp"), strict=True)]
    body = [struct.pack(">II", int(w), int(t)) for w, t in zip(words, events["t"], strict=True)]
    body.insert(len(body) // 2, struct.pack(">II", 0x8000 | 0x1234, 7))
    path.write_bytes("".join(f"#{line}\r\n" for line in header).encode() + b"".join(body))


def packet3(kind: int, events: list[bytes], *, overflows: int = 0, room: int | None = None) -> bytes:
    """A packet of AEDAT 3.1: a header of 28 bytes, and events of 8 bytes that fill a part of its room."""
    room = len(events) if room is None else room
    header = struct.pack("<hhiiiiii", kind, 1, 8, 4, overflows, room, len(events), len(events))
    return header + b"".join(events) + b"\xff" * (8 * (room - len(events)))


def write_aedat3(path: Path, events: Events) -> None:
    """AEDAT 3.1: packets of polarity events, and others between them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = (events["x"] << 17) | (events["y"] << 2) | (events["p"] << 1) | 1
    made = [struct.pack("<II", int(w), int(t)) for w, t in zip(words, events["t"], strict=True)]
    half = len(made) // 2
    invalid = struct.pack("<II", int(words[0]) & ~1, 5)
    header = (
        "!AER-DAT3.1",
        "Format: RAW",
        "Source 1: DVS128",
        "Start-Time: 2016-01-01 00:00:00 (TZ+0000)",
        "!END-HEADER",
    )
    path.write_bytes(
        "".join(f"#{line}\r\n" for line in header).encode()
        + packet3(0, [bytes(8)])
        + packet3(1, [*made[:half], invalid], room=half + 5)
        + packet3(3, [bytes(8)] * 3)
        + packet3(1, made[half:])
    )


STREAM = """<node name="{number}" path="/outInfo/{number}/"><attr key="compression" type="string">{packing}</attr>
<attr key="originalModuleName" type="string">made</attr><attr key="originalOutputName" type="string">made</attr>
<attr key="typeDescription" type="string">Made.</attr><attr key="typeIdentifier" type="string">{kind}</attr>
<node name="info" path="/outInfo/{number}/info/"><attr key="sizeX" type="int">128</attr>
<attr key="sizeY" type="int">128</attr></node></node>"""
PACKINGS = {"NONE": 0, "LZ4": 1, "LZ4_HIGH": 2, "ZSTD": 3, "ZSTD_HIGH": 4}


def sized(content: bytes) -> bytes:
    """A FlatBuffer with its size before it."""
    return struct.pack("<I", len(content)) + content


def events4(events: Events, part: slice) -> bytes:
    """A FlatBuffer of events: its root, its name, where its one field lies, the table, and 16 bytes an event."""
    rows = [struct.pack("<qhhB3x", *map(int, row)) for row in zip(*(events[k][part] for k in "txyp"), strict=True)]
    return sized(struct.pack("<I4s2xHHHiII", 16, b"EVTS", 6, 8, 4, 6, 4, len(rows)) + b"".join(rows))


def write_aedat4(path: Path, events: Events, packing: str = "LZ4", *, streams: tuple[int, int] = (0, 0)) -> None:
    """AEDAT 4: two packets of events, one of another kind between them, and no table of packets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nodes = "".join(STREAM.format(number=n, kind=k, packing=packing) for n, k in ((0, "EVTS"), (7, "IMUS")))
    info = f'<dv version="2.0"><node name="outInfo" path="/outInfo/">{nodes}</node></dv>'.encode()
    at = struct.pack("<I4sHHHHH2xiiIq", 20, b"IOHE", 10, 20, 4, 12, 8, 12, PACKINGS[packing], 12, -1)
    half = len(events["x"]) // 2
    other = sized(struct.pack("<I4s2xHHHiII", 16, b"IMUS", 6, 8, 4, 6, 4, 0))
    pack = {"N": bytes, "L": lz4.frame.compress, "Z": zstandard.ZstdCompressor(write_content_size=False).compress}
    packets = [
        struct.pack("<ii", stream, len(packed)) + packed
        for stream, content in (
            (streams[0], events4(events, slice(half))),
            (7, other),
            (streams[1], events4(events, slice(half, None))),
        )
        if (packed := pack[packing[0]](content))
    ]
    header = sized(at + struct.pack("<I", len(info)) + info + b"\0")
    path.write_bytes(b"#!AER-DAT4.0\r\n" + header + b"".join(packets))
