"""What passes between kdsnn and this worker beside arrays: the objects of `job.json` and `result.json`.

kdsnn's own side (`kdsnn.targets.sanafe`) is checked against the same types.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Job", "JobPopulation", "JobProjection", "Result", "Units"]


class Units(TypedDict):
    """Names of the chip's units, as `chip.yaml` has them."""

    synapse: str
    dendrite: str
    soma: str
    port: str


class _Cells(TypedDict):
    neurons: int
    depth: int


class JobPopulation(_Cells, total=False):
    """A population; the input, the first one, has neurons and a depth alone.

    `depth` is in time steps after the image, `threshold` in weight units, and `keep_u` and `keep_v` are the 4096ths of
    current and potential that a step keeps. A spike takes all of the potential (`reset_mode` is `hard`), the threshold
    (`soft`) or nothing (`none`); `reset_by`, 64 to a weight unit, is any other amount, which the worker takes, or None.
    """

    record: bool
    threshold: int
    keep_u: int
    keep_v: int
    fires: bool
    reset_by: int | None
    reset_mode: str


class JobProjection(TypedDict):
    """A projection between populations, by index; a graded one weighs nothing, for its grey levels come as drive."""

    source: int
    target: int
    graded: bool


class Job(TypedDict):
    """`job.json`. `parent` is the process that the worker does not outlive."""

    schema: str
    fingerprint: str
    parent: int
    timesteps: int
    samples: int
    timing: str
    units: Units
    populations: list[JobPopulation]
    projections: list[JobProjection]


class Result(TypedDict):
    """`result.json`: seconds of set-up and run, and time steps, those in which the pipeline fills among them."""

    fingerprint: str
    versions: dict[str, str]
    setup_s: float
    run_s: float
    steps: int
    fill_steps: int
