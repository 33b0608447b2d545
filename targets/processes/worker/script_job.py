"""What passes between kdsnn and a script's worker beside arrays, whatever the script: the parts that all jobs have."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["JobHead", "ResultHead", "SomeCells", "SomeSynapses"]


class _Cells(TypedDict):
    neurons: int
    depth: int


class SomeCells(_Cells, total=False):
    """A population; the input, the first one, has neurons and a depth alone.

    `depth` is in time steps after the image, `threshold` in weight units.
    """

    record: bool
    threshold: int
    fires: bool


class SomeSynapses(TypedDict):
    """A projection between populations, by index; a graded one carries grey levels."""

    source: int
    target: int
    graded: bool


class JobHead(TypedDict):
    """How `job.json` begins. `parent` is the process that the worker does not outlive."""

    schema: str
    fingerprint: str
    parent: int
    timesteps: int
    samples: int


class ResultHead(TypedDict):
    """How `result.json` begins: seconds of set-up and run, and time steps."""

    fingerprint: str
    versions: dict[str, str]
    setup_s: float
    run_s: float
    steps: int
