"""What passes between kdsnn and this worker beside arrays: the objects of `job.json` and `result.json`.

kdsnn's own side (`kdsnn.targets.sanafe`) is checked against the same types.
"""

from __future__ import annotations

from typing import TypedDict

from script_job import JobHead, ResultHead, SomeCells, SomeSynapses

__all__ = ["Job", "JobPopulation", "Result", "Units"]


class Units(TypedDict):
    """Names of the chip's units, as `chip.yaml` has them."""

    synapse: str
    dendrite: str
    soma: str
    port: str


class JobPopulation(SomeCells, total=False):
    """A population, of whose current and potential a step keeps `keep_u` and `keep_v` 4096ths.

    A spike takes all of the potential (`reset_mode` is `hard`), the threshold (`soft`) or nothing (`none`); `reset_by`,
    64 to a weight unit, is any other amount, which the worker takes, or None.
    """

    keep_u: int
    keep_v: int
    reset_by: int | None
    reset_mode: str


class Job(JobHead):
    """`job.json`. Graded projections weigh nothing: their grey levels come as drive."""

    timing: str
    units: Units
    populations: list[JobPopulation]
    projections: list[SomeSynapses]


class Result(ResultHead):
    """`result.json`; the time steps in which the pipeline fills are among the others."""

    fill_steps: int
