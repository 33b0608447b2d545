"""AEDAT, versions 2.0 and 3.1: the files of event cameras that jAER and cAER write. Version 4: `aedat4`.

All begin with lines of text, the first of which tells the version, `#!AER-DAT3.1`
(https://docs.inivation.com/software/software-advanced-usage/file-formats).

Version 2.0 goes on with an address and a time for each event, 32 bits each, the highest byte first. What an address
means is the camera's affair; of a DVS128, as its sensor sends it and jAER reads it (`chip/retina/DVS128.java`): bits 7
to 1 are x from the right, bits 14 to 8 y from the bottom, bit 0 is clear where the pixel became brighter, and bit 15 or
31 is set where it is no pixel's event. Here x counts from the left and y from the top, as in the other versions.

Version 3.1 goes on with packets: 28 bytes that tell type, size and number of its events, and the events. Those of type
1 are of pixels: x in bits 31 to 17, y from the top in bits 16 to 2, bit 1 set where it became brighter, bit 0 where the
event is valid; then the lower 31 bits of the time. The lowest byte comes first.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from kdsnn.data.events.aedat4 import AGAIN, Events, events_of_aedat4
from kdsnn.errors import InputError
from kdsnn.files.reading import reading

__all__ = ["read_aedat"]

VERSION = re.compile(rb"#!AER-DAT(\d+\.\d+)\r?\n")
CONVERT = "let DV write it as AEDAT 4, or write numpy.savez(path, x=x, y=y, t=t, p=p)"
LAST = 127  # column and row of a DVS128
NO_PIXEL, OF_OTHERS = 0x8000_8000, 0x7FFF_0000  # bits of an address
PACKET = struct.Struct("<hhiiiiii")  # type, source, bytes an event, where its time is, overflows, room, number, valid
OF_PIXELS, PIXEL_BYTES, TIME_AT = 1, 8, 4
OVERFLOW = 31  # bits of a time, above which a packet counts


def read_aedat(file: Path) -> Events:
    """Columns, rows, microseconds and polarities (1 is brighter) of the events in a file, each `(events,)`.

    Raises:
        InputError: it is broken, of another version, or of a camera whose addresses are not known here.
        MissingExtraError: what unpacks version 4 is not installed.
    """
    with reading(file):
        data = file.read_bytes()
    begins = VERSION.match(data)
    if begins is None:
        raise InputError(f"{file} does not begin with #!AER-DAT and a version: it is no AEDAT file", hint=CONVERT)
    version = begins[1].decode()
    if version == "2.0":
        return _of_version_2(data, file)
    if version == "3.1":
        return _of_version_3(data, file)
    if version == "4.0":
        return events_of_aedat4(data, begins.end(), str(file))
    raise InputError(f"{file} is AEDAT {version}; 2.0, 3.1 and 4.0 are read", hint=CONVERT)


def _of_version_2(data: bytes, file: Path) -> Events:
    begin = 0
    while data[begin : begin + 1] == b"#":
        line, begin = _line(data, begin, file)
        if line.startswith("# AEChip:") and not line.endswith("DVS128"):
            raise InputError(f"{file} is of the camera {line[9:].strip()[:100]}, not of a DVS128", hint=CONVERT)
        if line.startswith("#End Of ASCII Header"):
            break
    if (len(data) - begin) % 8:
        raise InputError(f"{file} ends within an event: {len(data)} bytes", hint=AGAIN)
    words = np.frombuffer(data, ">i4", offset=begin).astype(np.int64).reshape(-1, 2)
    address, t = words[:, 0] & 0xFFFF_FFFF, words[:, 1]
    pixels = address & NO_PIXEL == 0
    address, t = address[pixels], t[pixels]
    if (address & OF_OTHERS).any():
        raise InputError(f"{file} holds addresses of another camera than a DVS128", hint=CONVERT)
    return LAST - (address >> 1 & 0x7F), LAST - (address >> 8 & 0x7F), t, 1 - (address & 1)


def _of_version_3(data: bytes, file: Path) -> Events:
    begin, line = 0, ""
    while not line.startswith("#!END-HEADER"):
        line, begin = _line(data, begin, file)
        if line.startswith("#Format:") and line[8:].strip() != "RAW":
            raise InputError(f"{file} is packed: {line[1:100]}", hint=CONVERT)
    parts = [np.empty((0, 2), np.int64)]
    while begin < len(data):
        if begin + PACKET.size > len(data):
            raise InputError(f"{file} ends within a packet", hint=AGAIN)
        kind, _, size, time_at, overflows, room, number, _ = PACKET.unpack_from(data, begin)
        begin += PACKET.size
        if min(kind, overflows, number) < 0 or size < PIXEL_BYTES or number > room:
            raise InputError(f"{file} is broken: no packet begins at byte {begin - PACKET.size}", hint=AGAIN)
        if begin + room * size > len(data):
            raise InputError(f"{file} ends within a packet", hint=AGAIN)
        if kind == OF_PIXELS:
            if (size, time_at) != (PIXEL_BYTES, TIME_AT):
                raise InputError(f"{file} is broken: an event of a pixel has {size} bytes", hint=AGAIN)
            words = np.frombuffer(data, "<u4", 2 * number, begin).astype(np.int64).reshape(-1, 2)
            words[:, 1] += overflows << OVERFLOW
            parts.append(words[words[:, 0] & 1 == 1])
        begin += room * size
    word, t = np.concatenate(parts).T
    return word >> 17 & 0x7FFF, word >> 2 & 0x7FFF, t, word >> 1 & 1


def _line(data: bytes, begin: int, file: Path) -> tuple[str, int]:
    """A line of the text that files begin with, and where the next begins."""
    end = data.find(b"\n", begin)
    if end < 0 or data[begin : begin + 1] != b"#":
        raise InputError(f"{file} ends within the lines that it begins with", hint=AGAIN)
    return data[begin:end].decode("utf-8", "replace").rstrip(), end + 1
