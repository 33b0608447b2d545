"""Energy models: the constants of a technology, from a TOML file with the source of each."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, field_validator

from kdsnn.toml_files import FileModel, load, shipped

__all__ = ["EnergyModel", "EnergyPart", "energy_model_names", "load_energy_model"]

PACKAGE = "kdsnn.energy"
Count = Literal["spikes", "synops_dense", "synops_effective", "input_macs", "neuron_updates", "silent_updates"]
Text = Annotated[str, Field(min_length=1)]
Picojoules = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)]


class EnergyPart(FileModel):
    """One constant: `energy_pj` picojoules for each of the counts named."""

    name: Text
    counts: Annotated[tuple[Count, ...], Field(min_length=1, alias="count")]
    energy_pj: Picojoules


class Teacher(FileModel):
    """What the ANN teacher's operations cost in the same technology."""

    multiply_accumulate_pj: Picojoules


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
        parts: what adds up.
        teacher: what the teacher's operations cost, where that is known.
    """

    name: str
    title: Text
    account: Text
    kind: Literal["simulated", "estimated"]
    source: Text
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    notes: tuple[Text, ...] = ()
    parts: Annotated[tuple[EnergyPart, ...], Field(min_length=1)]
    teacher: Teacher | None = None

    @field_validator("parts")
    @classmethod
    def _names_are_unique(cls, parts: tuple[EnergyPart, ...]) -> tuple[EnergyPart, ...]:
        twice = [name for name, times in Counter(part.name for part in parts).items() if times > 1]
        if twice:
            raise ValueError(f"two parts are called {twice[0]!r}, and would add up to one of them")
        return parts

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
