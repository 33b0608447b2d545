"""What a neuromorphic chip holds: limits of a core and of a chip from a TOML file, each with unit, source and date.

A limit with no public figure is named as missing, with the reason; it is never guessed, and never checked.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from kdsnn.network.features import FEATURES
from kdsnn.toml_files import FileModel, load, shipped

__all__ = ["CORE_LIMITS", "Hardware", "Lack", "Limit", "SynapseFormat", "hardware_names", "load_hardware"]

Int64Array = npt.NDArray[np.int64]

LimitName = Literal[
    "neurons",
    "synaptic_memory",
    "input_axons",
    "output_axons",
    "cores",
    "weight_bits",
    "threshold_bits",
    "message_bits",
]
LIMITS: tuple[LimitName, ...] = get_args(LimitName)
CORE_LIMITS = LIMITS[:4]
PACKAGE = "kdsnn.hardware"
Text = Annotated[str, Field(min_length=1)]
AtLeastOne = Annotated[int, Field(ge=1)]


class Limit(FileModel):
    """One figure, with where it comes from."""

    name: LimitName
    value: AtLeastOne
    unit: Text
    source: Text
    date: Text


class Missing(FileModel):
    """A limit with no public figure."""

    name: LimitName
    why: Text


class Lack(FileModel):
    """A feature of networks that the chip does not have, or of which that is not known; `why` says which."""

    feature: Text
    why: Text
    source: Text
    date: Text


class SynapseFormat(FileModel):
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

    weight_bits: AtLeastOne
    index_bits: Annotated[int, Field(ge=0)]
    header_bits: Annotated[int, Field(ge=0)]
    block: AtLeastOne
    word_bits: AtLeastOne
    shared: bool
    shared_axon_slots: AtLeastOne
    source: Text
    date: Text

    def list_bits(self, synapses: Int64Array, *, indexed: bool) -> Int64Array:
        """Bits of lists of so many synapses, elementwise."""
        each = self.weight_bits + (self.index_bits if indexed else 0)
        full, rest = np.divmod(synapses, self.block)
        words = full * self._words(np.int64(self.block * each)) + (rest > 0) * self._words(rest * each)
        bits: Int64Array = words * self.word_bits
        return bits

    def _words(self, bits: Any) -> Any:
        return -(-(bits + self.header_bits) // self.word_bits)


class Hardware(FileModel):
    """The limits of one chip.

    Attributes:
        name: of the file.
        title: for tables.
        given: the limits that are known; see `limits`.
        absent: those of which no public figure is known; see `missing`.
        lacks: features of networks that it does not have.
        synapses: how synaptic memory is counted.
        notes: what the figures leave out.
    """

    name: str
    title: Text
    given: Annotated[tuple[Limit, ...], Field(alias="limits")]
    absent: Annotated[tuple[Missing, ...], Field(alias="missing")] = ()
    lacks: tuple[Lack, ...] = ()
    synapses: SynapseFormat
    notes: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _every_limit_once(self) -> Hardware:
        times = Counter([*(limit.name for limit in self.given), *(each.name for each in self.absent)])
        problems = [f"limit {name!r} is neither given nor named as missing" for name in LIMITS if not times[name]]
        problems += [f"limit {name!r} stands {n} times" for name, n in times.items() if n > 1]
        problems += [f"there is no feature {each.feature!r}" for each in self.lacks if each.feature not in FEATURES]
        if "cores" in self.missing:
            problems.append("the number of cores of a chip must be given")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def limits(self) -> dict[str, Limit]:
        """Limits by name; see `LIMITS`."""
        return {limit.name: limit for limit in self.given}

    @property
    def missing(self) -> dict[str, str]:
        """Names of limits that no public figure is known of, with the reason."""
        return {each.name: each.why for each in self.absent}

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
    return shipped(PACKAGE)


def load_hardware(name: str) -> Hardware:
    """Hardware that ships with the package, by name, or one's own, by the path of its TOML file.

    Raises:
        UsageError: there is none of that name.
        InputError: the file is not valid.
    """
    return load(PACKAGE, name, Hardware, "hardware", "hardware")
