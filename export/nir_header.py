"""What NIR cannot say of an integer network: the header of `model.nir`, as JSON, checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kdsnn.errors import InputError
from kdsnn.files.reading import json_object
from kdsnn.files.records import as_python, problems_in
from kdsnn.network import Network, Population, neuron_of
from kdsnn.network.populations import DECAY_UNITY, MAX_BIAS_EXPONENT, MAX_EXPONENT, STATE_LIMIT
from kdsnn.network.validation import MOST_TIMESTEPS

__all__ = ["SCHEMA", "Header", "NeuronRecord", "ProjectionRecord", "header_of", "node_name", "read_header"]

SCHEMA = "kdsnn.nir/1"
Decay = Annotated[int, Field(ge=0, le=DECAY_UNITY)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)  # further keys are a later version's


class NeuronRecord(_Record):
    """What NIR cannot say of a population; older files have neither `clips` nor `reset_by`."""

    name: str
    bias_exponent: Annotated[int, Field(ge=0, le=MAX_BIAS_EXPONENT)]
    decay_u: Decay
    decay_v: Decay
    relay: bool
    clips: bool = False
    reset_by: Annotated[int, Field(ge=0, lt=STATE_LIMIT)] | None = None


class ProjectionRecord(_Record):
    """What NIR cannot say of a projection."""

    source: str
    target: str
    exponent: Annotated[int, Field(ge=0, le=MAX_EXPONENT)]
    part: Annotated[int, Field(ge=0)] = 0

    @property
    def node(self) -> str:
        """The name of its node."""
        return node_name(self.source, self.target, self.part)


class Header(_Record):
    """What NIR cannot say of a network; see `kdsnn.network`."""

    schema_: Annotated[Literal["kdsnn.nir/1"], Field(alias="schema")]
    name: str
    timesteps: Annotated[int, Field(ge=1, le=MOST_TIMESTEPS)]
    input_bits: Annotated[int, Field(ge=1, le=8)]
    static: bool = True
    labels: tuple[str, ...]
    populations: tuple[NeuronRecord, ...]
    projections: tuple[ProjectionRecord, ...]
    provenance: Mapping[str, str]
    fingerprint: str


def node_name(source: str, target: str, part: int) -> str:
    """The name of a projection's node."""
    return f"{source}_to_{target}" + (f"_part_{part}" if part else "")


def read_header(text: str) -> Header:
    """The header of a network.

    Raises:
        InputError: it is no JSON, or not a header; with all problems.
    """
    try:
        return Header.model_validate(as_python(json_object(text, "its header")))
    except ValidationError as error:
        raise InputError("its header is not valid", problems=list(problems_in(error))) from error


def header_of(network: Network) -> dict[str, Any]:
    """The header of a network, as JSON has it."""
    return {
        "schema": SCHEMA,
        "name": network.name,
        "timesteps": network.timesteps,
        "input_bits": network.input_bits,
        "static": network.static,
        "labels": network.labels,
        "populations": [_record(p) for p in network.spiking],
        "projections": [
            {"source": p.source, "target": p.target, "exponent": p.exponent} | ({"part": p.part} if p.part else {})
            for p in network.projections
        ],
        "provenance": dict(network.provenance),
        "fingerprint": network.fingerprint(),
    }


def _record(population: Population) -> dict[str, Any]:
    neuron = neuron_of(population)
    return {
        "name": population.name,
        "bias_exponent": neuron.bias_exponent,
        "decay_u": int(neuron.decay_u),
        "decay_v": int(neuron.decay_v),
        "relay": population.relay,
        "clips": neuron.clips,
        "reset_by": None if neuron.reset_by is None else int(neuron.reset_by),
    }
