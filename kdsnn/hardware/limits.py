"""What a neuromorphic chip holds: limits of a core and of a chip from a TOML file, each with unit, source and date.

A limit with no public figure is named as missing, with the reason; it is never guessed, and never checked.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, UsageError

__all__ = ["CORE_LIMITS", "Hardware", "Limit", "SynapseFormat", "hardware_names", "load_hardware"]

Int64Array = npt.NDArray[np.int64]

CORE_LIMITS = ("neurons", "synaptic_memory", "input_axons", "output_axons")
LIMITS = (*CORE_LIMITS, "cores", "weight_bits", "threshold_bits", "message_bits")


@dataclass(frozen=True)
class Limit:
    """One figure, with where it comes from."""

    name: str
    value: int
    unit: str
    source: str
    date: str


@dataclass(frozen=True)
class SynapseFormat:
    """How synapses lie in the memory of a core: in lists, one for each input axon, made of blocks of whole words.

    Attributes:
        weight_bits: of each stored weight.
        index_bits: beside each weight of a convolution. A dense list is in the order of its neurons and needs none.
        header_bits: of each block.
        block: synapses in a block, at most.
        word_bits: a block is rounded up to whole words.
        shared: whether a convolution shares: its weights between positions, so that lists which are equal but for
            where they begin are stored once; and an axon between the channels at a position.
        shared_axon_slots: output axons that a shared one counts as.
        source: where this comes from.
        date: of the source.
    """

    weight_bits: int
    index_bits: int
    header_bits: int
    block: int
    word_bits: int
    shared: bool
    shared_axon_slots: int
    source: str
    date: str

    def list_bits(self, synapses: Int64Array, *, indexed: bool) -> Int64Array:
        """Bits of lists of so many synapses, elementwise."""
        each = self.weight_bits + (self.index_bits if indexed else 0)
        full, rest = np.divmod(synapses, self.block)
        words = full * self._words(np.int64(self.block * each)) + (rest > 0) * self._words(rest * each)
        bits: Int64Array = words * self.word_bits
        return bits

    def _words(self, bits: Any) -> Any:
        return -(-(bits + self.header_bits) // self.word_bits)


@dataclass(frozen=True)
class Hardware:
    """The limits of one chip.

    Attributes:
        name: as `hardware_names` lists it, or the stem of a file.
        title: for tables.
        limits: by name; see `LIMITS`.
        missing: names of limits that no public figure is known of, with the reason.
        synapses: how synaptic memory is counted.
        notes: what the figures leave out.
    """

    name: str
    title: str
    limits: Mapping[str, Limit]
    missing: Mapping[str, str]
    synapses: SynapseFormat
    notes: tuple[str, ...]

    def most(self, name: str) -> int | None:
        """The value of a limit; None where none is known."""
        limit = self.limits.get(name)
        return None if limit is None else limit.value

    @property
    def cores(self) -> int:
        """Cores of a chip."""
        return self.limits["cores"].value


def hardware_names() -> list[str]:
    """Names of the hardware that ships with the package."""
    folder = files("kdsnn.hardware")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_hardware(name: str) -> Hardware:
    """Hardware that ships with the package, by name, or one's own, by the path of its TOML file.

    Raises:
        UsageError: there is none of that name.
        InputError: the file is not valid.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no hardware file {name}")
        return _parse(path.stem, path.read_bytes())
    names = hardware_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        raise UsageError(
            f"there is no hardware {name!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(names)}",
        )
    return _parse(name, (files("kdsnn.hardware") / f"{name}.toml").read_bytes())


def _parse(name: str, text: bytes) -> Hardware:
    try:
        data = tomllib.loads(text.decode())
        hardware = Hardware(
            name=name,
            title=str(data["title"]),
            limits={limit["name"]: Limit(**limit) for limit in data["limits"]},
            missing={str(each["name"]): str(each["why"]) for each in data.get("missing", ())},
            synapses=SynapseFormat(**data["synapses"]),
            notes=tuple(map(str, data.get("notes", ()))),
        )
        problems = _problems(hardware)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"hardware {name!r} is not valid: {type(error).__name__}: {error}") from error
    if problems:
        raise InputError(f"hardware {name!r} is not valid", problems=problems)
    return hardware


def _problems(hardware: Hardware) -> list[str]:
    limits, missing, synapses = hardware.limits, hardware.missing, hardware.synapses
    problems = [f"there is no limit {n!r}; limits are {', '.join(LIMITS)}" for n in {*limits, *missing} - {*LIMITS}]
    problems += [f"limit {n!r} is neither given nor named as missing" for n in LIMITS if n not in {*limits, *missing}]
    problems += [f"limit {n!r} is given and named as missing" for n in limits if n in missing]
    problems += [
        f"limit {limit.name!r} is {limit.value!r}, not a positive integer"
        for limit in limits.values()
        if not _at_least(limit.value, 1)
    ]
    problems += [f"limit {n!r} has no source, unit or date" for n, x in limits.items() if not _told(x)]
    if "cores" in missing:
        problems.append("the number of cores of a chip must be given")
    for name in ("weight_bits", "index_bits", "header_bits", "block", "word_bits", "shared_axon_slots"):
        value, least = getattr(synapses, name), 0 if name in ("index_bits", "header_bits") else 1
        if not _at_least(value, least):
            problems.append(f"{name} of the synapses is {value!r}, not an integer of at least {least}")
    if synapses.shared not in (True, False):
        problems.append(f"shared of the synapses is {synapses.shared!r}, neither true nor false")
    return problems


def _told(limit: Limit) -> bool:
    return all(isinstance(text, str) and text for text in (limit.unit, limit.source, limit.date))


def _at_least(value: Any, least: int) -> bool:
    return type(value) is int and value >= least
