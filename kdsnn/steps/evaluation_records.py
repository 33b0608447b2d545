"""What readers ask of an evaluation that a run keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from kdsnn.files.records import Count, Real, Record, Share

__all__ = ["Kept"]

Known = Annotated[Real, Field(ge=0)]


class Shown(Record):
    """Which images an evaluation is of; see `DataIdentity`."""

    name: str
    split: str | None
    selection: str
    samples: Count
    sha256: str


class OfTarget(Record):
    """What a target was set to."""

    settings: dict[str, str]


class Identity(Record):
    """What an evaluation is of."""

    target: OfTarget
    data: Shown


class Layer(Record):
    """Counts of a layer. Older versions counted less, so that counts may be missing, but are none other."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: str
    neurons: Count
    spikes: Count
    synops_dense: Count = 0
    synops_effective: Count = 0
    input_macs: Count = 0
    input_macs_effective: Count = 0
    neuron_updates: Count = 0
    leak_updates: Count = 0
    relay: bool = False


class Rule(Record):
    """A rule by which images stop early."""

    margin: Count | None
    accuracy: Share | None
    agreement: Share
    mean_steps: Known
    counts: dict[str, Known]


class Answers(Record):
    """Answers over the time steps."""

    unit: str
    accuracy_by_step: list[Share] | None
    agreement_by_step: list[Share]
    counts_by_step: dict[str, list[Known]]
    stops: list[Rule]

    @model_validator(mode="after")
    def _fits(self) -> Answers:
        """As many accuracies as steps, and the counts that are shown."""
        if self.accuracy_by_step is not None and len(self.accuracy_by_step) != len(self.agreement_by_step):
            raise ValueError("accuracies and agreements are of other steps")
        for known in (set(self.counts_by_step), *(set(stop.counts) for stop in self.stops)):
            if not known >= {"synops_dense", "input_macs"}:
                raise ValueError("counts are missing")
        if self.accuracy_by_step and any(stop.accuracy is None for stop in self.stops):
            raise ValueError("a rule has no accuracy")
        return self


class Kept(Record):
    """What readers ask of an evaluation."""

    target: str
    fingerprint: str
    samples: Annotated[Count, Field(ge=1)]
    timesteps: Count = 1
    accuracy: Share | None
    predictions: list[Count]
    layers: list[Layer]
    counts: dict[str, Count]
    matches_reference: bool
    samples_per_s: Known
    versions: dict[str, str]
    identity: Identity
    in_time: Answers | None = None
