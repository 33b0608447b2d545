"""AEDAT 4, the files of event cameras that DV writes: packets of FlatBuffers, perhaps packed by LZ4 or Zstandard.

    #!AER-DAT4.0                      a line of text
    size, FlatBuffer "IOHE"           how packets are packed; where the table of packets begins, which ends the packets
    stream, size, content             packets, each of one stream: a camera's events, its frames, ...

(https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html). What is read of a FlatBuffer
here are the fields of its first table (https://flatbuffers.dev/internals). Decoders that others wrote end the whole
process at a file that is broken.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError
from kdsnn.extras import need
from kdsnn.files.reading import reading

__all__ = ["AGAIN", "Events", "events_of_aedat4"]

Events = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
AGAIN = "it may be truncated: fetch it again, or record it again"
PACKINGS = ("", "lz4", "lz4", "zstandard", "zstandard")  # Python's package for each; fast and thorough
HEADER, EVENTS = b"IOHE", b"EVTS"
PACKING, TABLE_AT = 0, 1  # fields of the header
ELEMENTS = 0  # field of a packet of events
EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("", "V3")])
MOST_UNPACKED, RATIO = 2**28, 8  # bytes of a packet, and of all; and how many times the size of the file


def events_of_aedat4(data: bytes, begin: int, name: str) -> Events:
    """Columns, rows, microseconds and polarities (1 is brighter) of the events of a file, each `(events,)`.

    Args:
        data: the file.
        begin: where its first line ends.
        name: for messages.

    Raises:
        InputError: it is broken, or holds the events of several streams, or of none.
        MissingExtraError: what unpacks it is not installed.
    """
    with reading(name, "is broken", hint=AGAIN):
        streams = _streams(data, begin)
    if len(streams) != 1:
        found = f"{len(streams)} streams of events" if streams else "no events"
        raise InputError(f"{name} holds {found}, not one stream", hint="let DV write a file with the one that you mean")
    table = np.concatenate(next(iter(streams.values())))
    x, y, t, p = (table[field].astype(np.int64) for field in ("x", "y", "t", "p"))
    return x, y, t, p


def _streams(data: bytes, begin: int) -> dict[int, list[npt.NDArray[np.void]]]:
    """The events in each packet of each stream that has any."""
    header = _sized(data, begin)
    if header[4:8] != HEADER:
        raise ValueError("it has no header")
    packing = int(_number("<i", header, at)) if (at := _field(header, PACKING)) else 0
    table_at = int(_number("<q", header, at)) if (at := _field(header, TABLE_AT)) else -1
    begin, end = begin + 4 + len(header), len(data) if table_at < 0 else table_at
    if not 0 <= packing < len(PACKINGS):
        raise ValueError(f"it is packed in a way of number {packing}")
    if not begin <= end <= len(data):
        raise ValueError(f"its packets end at byte {end} of {len(data)}")
    streams: dict[int, list[npt.NDArray[np.void]]] = {}
    unpacked = 0
    for stream, packed in _packets(data[:end], begin):
        whole = _unpacked(packed, PACKINGS[packing])
        unpacked += len(whole)
        if unpacked > max(MOST_UNPACKED, RATIO * len(data)):
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED} bytes")
        content = _sized(whole, 0)
        if content[4:8] == EVENTS:
            streams.setdefault(stream, []).append(_elements(content))
    return streams


def _packets(data: bytes, begin: int) -> Iterator[tuple[int, bytes]]:
    """Number of the stream, and content, of each packet."""
    while begin < len(data):
        stream, size = struct.unpack_from("<ii", data, begin)
        begin += 8
        if size < 0 or begin + size > len(data):
            raise ValueError("it ends within a packet")
        yield stream, data[begin : begin + size]
        begin += size


def _unpacked(content: bytes, package: str) -> bytes:
    if package:
        need(package)
    if package == "lz4":
        import lz4.frame

        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(content, max_length=MOST_UNPACKED))
    if package == "zstandard":
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=MOST_UNPACKED).stream_reader(content) as reader:
            return reader.read(MOST_UNPACKED)
    return content


def _sized(data: bytes, begin: int) -> bytes:
    """What follows its size in bytes."""
    end = begin + 4 + int(_number("<I", data, begin))
    if end > len(data):
        raise ValueError("it ends within a FlatBuffer")
    return data[begin + 4 : end]


def _elements(content: bytes) -> npt.NDArray[np.void]:
    """The events in a packet; where it has no list of them, there are none."""
    at = _field(content, ELEMENTS)
    if at is None:
        return np.empty(0, EVENT)
    begin = at + int(_number("<I", content, at))
    return np.frombuffer(content, EVENT, int(_number("<I", content, begin)), begin + 4)


def _field(content: bytes, number: int) -> int | None:
    """Where a field of the first table lies; None where it has its default."""
    table = int(_number("<I", content, 0))
    fields = table - int(_number("<i", content, table))
    place = 4 + 2 * number
    if place >= _number("<H", content, fields):
        return None
    offset = int(_number("<H", content, fields + place))
    return table + offset if offset else None


def _number(kind: str, content: bytes, at: int) -> int:
    if at < 0:
        raise ValueError("it points before its beginning")
    value: int = struct.unpack_from(kind, content, at)[0]
    return value
