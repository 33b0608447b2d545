"""Energy models: the constants of a technology, from a TOML file with the source of each."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kdsnn.toml_files import FileModel, load, shipped

__all__ = [
    "Chip",
    "EnergyModel",
    "EnergyPart",
    "Missing",
    "Sourced",
    "StaticPower",
    "energy_model_names",
    "load_energy_model",
]

PACKAGE = "kdsnn.energy"
Count = Literal[
    "spikes",
    "synops_dense",
    "synops_effective",
    "input_macs",
    "input_macs_effective",
    "neuron_updates",
    "silent_updates",
    "leak_updates",
    "messages",
    "hops_east_west",
    "hops_north_south",
]
HOPS: tuple[Count, ...] = ("hops_east_west", "hops_north_south")  # counted on one chip where a placement is known
TRAFFIC: tuple[Count, ...] = ("messages", *HOPS)
ConstantKind = Literal["published", "fitted", "measured"]
Text = Annotated[str, Field(min_length=1)]
Date = Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)]


class Sourced(FileModel):
    """Where a constant is from: the model's own source and date, and published there, unless it says otherwise."""

    kind: ConstantKind = "published"
    source: Text | None = None
    date: Date | None = None


class EnergyPart(Sourced):
    """One constant: picojoules for each of the counts named; `at_least` where the source gives a minimum."""

    name: Text
    counts: Annotated[tuple[Count, ...], Field(min_length=1, alias="count")]
    energy_pj: NotNegative
    at_least: bool = False

    @field_validator("counts")
    @classmethod
    def _each_once(cls, counts: tuple[Count, ...]) -> tuple[Count, ...]:
        twice = [name for name, times in Counter(counts).items() if times > 1]
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once, and would be charged each time")
        return counts


class Teacher(FileModel):
    """What the ANN teacher's operations cost in the same technology."""

    multiply_accumulate_pj: NotNegative


class StaticPower(Sourced):
    """What a chip takes while it does nothing, in watts."""

    chip_w: NotNegative


class Times(Sourced):
    """Nanoseconds that things take on a core, and the barrier at the end of each time step, on one tile and on all."""

    synaptic_operation: NotNegative
    neuron_update_active: NotNegative
    neuron_update_inactive: NotNegative
    message: NotNegative
    hop_east_west: NotNegative
    hop_north_south: NotNegative
    barrier: tuple[NotNegative, NotNegative]


class Chip(Sourced):
    """The chip that a network is placed on: `hardware` names its limits (`kdsnn.hardware`), the rest is its mesh."""

    hardware: Text
    tiles_wide: Annotated[int, Field(ge=1)]
    tiles_high: Annotated[int, Field(ge=1)]
    cores_per_tile: Annotated[int, Field(ge=1)]
    time_ns: Times

    @property
    def tiles(self) -> int:
        """Tiles of a chip."""
        return self.tiles_wide * self.tiles_high

    def barrier_s(self, tiles: int) -> float:
        """Seconds of a barrier over so many tiles; between one and all of them it is taken to grow evenly."""
        one, every = self.time_ns.barrier
        return 1e-9 * (one + (every - one) * (tiles - 1) / max(1, self.tiles - 1))


class Missing(FileModel):
    """A term of the total that no public figure is known of, with the reason."""

    term: Literal["dynamic energy", "static power", "time"]
    why: Text


class EnergyModel(FileModel):
    """The constants of one technology, with where they come from.

    Attributes:
        name: of the file.
        title: for tables.
        account: what it accounts for; only figures of one account can be compared with each other.
        kind: where the constants come from. None is measured on a chip: these are estimates.
        source: publication and table.
        date: of the source, `YYYY-MM`.
        notes: what the figures leave out.
        parts: what adds up to the dynamic energy.
        teacher: what the teacher's operations cost, where that is known.
        static: static power, where it is known.
        chip: where a network is placed, and the times of a step; where they are known.
        missing: terms of the total that are not public. A model of arithmetic alone misses none: it has no chip.
    """

    name: str
    title: Text
    account: Text
    kind: Literal["simulated", "estimated"]
    source: Text
    date: Date
    notes: tuple[Text, ...] = ()
    parts: tuple[EnergyPart, ...] = ()
    teacher: Teacher | None = None
    static: StaticPower | None = None
    chip: Chip | None = None
    missing: tuple[Missing, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> EnergyModel:
        absent = [each.term for each in self.missing]
        problems = [
            f"two parts are called {name!r}, and would add up to one of them"
            for name, times in Counter(part.name for part in self.parts).items()
            if times > 1
        ]
        problems += [f"{term} stands under missing twice" for term, times in Counter(absent).items() if times > 1]
        given = {"dynamic energy": bool(self.parts), "static power": bool(self.static), "time": bool(self.chip)}
        problems += [f"{term} is given, and stands under missing" for term in absent if given[term]]
        if not self.parts and "dynamic energy" not in absent:
            problems.append("there are no parts, and dynamic energy does not stand under missing")
        if self.static and not self.chip and "time" not in absent:
            problems.append("static power takes a time: give a chip, or name time under missing")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def teacher_mac_pj(self) -> float | None:
        """Picojoules of a multiply-accumulate of the teacher, where that is known."""
        return None if self.teacher is None else self.teacher.multiply_accumulate_pj


def energy_model_names() -> list[str]:
    """Names of the models that ship with the package."""
    return shipped(PACKAGE)


def load_energy_model(name: str) -> EnergyModel:
    """A model that ships with the package, by name, or one's own, by the path of its TOML file.

    Raises:
        UsageError: there is no such model.
        InputError: the file is not a valid model.
    """
    return load(PACKAGE, name, EnergyModel, "energy model", "energy models")
