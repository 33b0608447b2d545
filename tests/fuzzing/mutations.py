"""Valid files made wrong: their bytes, and what they hold."""

import json
from io import BytesIO
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

HOSTILE = (None, True, -1, 0, 2.5, 10**9, 10**30, 1e300, "", "x" * 300, "../x", [], {}, [[]], ["a", "a"])
NUMBERS = (-1, 0, 1, 2.5, 1e30, np.nan, np.inf, -np.inf, 2**31, 2**62)
WORDS = tuple(
    map(bytes.fromhex, ("00", "ff", "ffffffff", "7fffffff", "00000080", "ffffffffffffffff", "0000000000000080"))
)


@st.composite
def bytes_mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Cut off, overwritten, repeated or lengthened in one to four places."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(made)))
        length = draw(st.integers(0, 64))
        kind = draw(st.sampled_from(("cut", "drop", "word", "flip", "repeat", "insert")))
        if kind == "cut":
            del made[begin:]
        elif kind == "drop":
            del made[begin : begin + length]
        elif kind == "word":
            word = draw(st.sampled_from(WORDS))
            made[begin : begin + len(word)] = word
        elif kind == "flip" and begin < len(made):
            made[begin] ^= 1 << draw(st.integers(0, 7))
        elif kind == "repeat":
            made[begin:begin] = made[begin : begin + length] * draw(st.integers(1, 40))
        elif kind == "insert":
            made[begin:begin] = draw(st.binary(max_size=8))
    return bytes(made)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that a structure of dicts and lists holds."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, each in inner for found in ((*at, key), *places(each, (*at, key)))]


@st.composite
def structure_mutated(draw: st.DrawFn, value: Any) -> Any:
    """One to three of its values are others, or gone."""
    made = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        there = places(made)
        if not there:
            return made
        *way, last = draw(st.sampled_from(there))
        inner = made
        for key in way:
            inner = inner[key]
        if draw(st.booleans()):
            inner[last] = draw(st.sampled_from(HOSTILE))
        elif draw(st.booleans()):
            del inner[last]
        else:
            inner[last] = [inner[last]] * draw(st.integers(0, 3))
    return made


@st.composite
def hdf5_mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """One to three of its datasets are others, or gone; the header of ours is mutated as JSON."""
    file = BytesIO(data)
    with h5py.File(file, "r+") as opened:
        names: list[str] = []
        opened.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
            before = opened[name][()]
            del opened[name]
            if name.endswith("metadata/kdsnn"):
                opened[name] = json.dumps(draw(structure_mutated(json.loads(before))))
            elif draw(st.booleans()):
                shape = (
                    np.shape(before) if draw(st.booleans()) else tuple(draw(st.lists(st.integers(0, 4), max_size=5)))
                )
                opened[name] = np.full(shape, draw(st.sampled_from(NUMBERS)))
            elif draw(st.booleans()):
                opened[name] = draw(st.sampled_from(("", "IF", "NIRGraph", "Conv2d", "x" * 300, "\N{SNOWMAN}")))
    return file.getvalue()
