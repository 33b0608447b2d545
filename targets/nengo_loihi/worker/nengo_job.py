"""What passes between kdsnn and this worker beside arrays: the objects of `job.json` and `result.json`.

kdsnn's own side (`kdsnn.targets.nengo_loihi`) is checked against the same types.
"""

from __future__ import annotations

from script_job import JobHead, ResultHead, SomeCells, SomeSynapses

__all__ = ["Job", "JobPopulation", "JobProjection", "Result"]


class JobPopulation(SomeCells, total=False):
    """A population, of whose current and potential a step takes `decay_u` and `decay_v` 4096ths."""

    decay_u: int
    decay_v: int


class JobProjection(SomeSynapses):
    """A projection; an indexed one is a convolution: its synapses say which neuron they reach."""

    indexed: bool


class Job(JobHead):
    """`job.json`; `lanes` are the images side by side."""

    lanes: int
    populations: list[JobPopulation]
    projections: list[JobProjection]


class Result(ResultHead):
    """`result.json`, with what nengo-loihi says that one network occupies."""

    lanes: int
    compartments: int
    in_axons: int
    out_axons: int
    synapse_bits: int
