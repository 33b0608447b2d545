"""What passes between kdsnn and this worker beside arrays: the objects of `job.json` and `result.json`.

kdsnn's own side (`kdsnn.targets.nengo_loihi`) is checked against the same types.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Job", "JobPopulation", "JobProjection", "Result"]


class _Cells(TypedDict):
    neurons: int
    depth: int


class JobPopulation(_Cells, total=False):
    """A population; the input, the first one, has neurons and a depth alone.

    `depth` is in time steps after the image, `threshold` in weight units, and a step takes `decay_u` and `decay_v`
    4096ths of current and potential.
    """

    record: bool
    threshold: int
    decay_u: int
    decay_v: int
    fires: bool


class JobProjection(TypedDict):
    """A projection between populations, by index.

    A graded one carries grey levels. An indexed one is a convolution: its synapses say which neuron they reach.
    """

    source: int
    target: int
    graded: bool
    indexed: bool


class Job(TypedDict):
    """`job.json`. `parent` is the process that the worker does not outlive, `lanes` are the images side by side."""

    schema: str
    fingerprint: str
    parent: int
    timesteps: int
    samples: int
    lanes: int
    populations: list[JobPopulation]
    projections: list[JobProjection]


class Result(TypedDict):
    """`result.json`: seconds of set-up and run, time steps, and what nengo-loihi says that one network occupies."""

    fingerprint: str
    versions: dict[str, str]
    setup_s: float
    run_s: float
    steps: int
    lanes: int
    compartments: int
    in_axons: int
    out_axons: int
    synapse_bits: int
