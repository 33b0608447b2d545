"""What passes between kdsnn and this worker beside arrays: the objects of `job.json` and `result.json`.

kdsnn's own side (`kdsnn.targets.lava`) is checked against the same types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

__all__ = ["Job", "JobPopulation", "JobProjection", "Result"]


class _Cells(TypedDict):
    name: str
    shape: Sequence[int]
    depth: int


class JobPopulation(_Cells, total=False):
    """A population; the input, the first one, has a name, a shape and a depth alone.

    `shape` is (C, H, W) or (N,), `depth` in time steps after the image, and the rest as `kdsnn.network.Neuron` has it.
    """

    threshold: int
    bias_exponent: int
    decay_u: int
    decay_v: int
    fires: bool
    reset_by: int | None


class _Synapses(TypedDict):
    source: str
    target: str
    kind: str
    exponent: int


class JobProjection(_Synapses, total=False):
    """A projection between populations, by name; only a convolution (`kind` is `conv2d`) has the pairs, as (H, W)."""

    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int


class Job(TypedDict):
    """`job.json`.

    `parent` is the process that the worker does not outlive, `bits` are those of an input message, `static` says
    whether every time step of an image sends the same, `lanes` are the images side by side, `record` the populations
    whose spikes are kept.
    """

    schema: str
    fingerprint: str
    parent: int | None
    timesteps: int
    samples: int
    bits: int
    static: bool
    stock: bool
    lanes: int
    record: list[str]
    populations: list[JobPopulation]
    projections: list[JobProjection]


class Result(TypedDict):
    """`result.json`: seconds of set-up, run and processors, memory, and what ran."""

    cpu_s: float
    memory_mib: float
    peak_process_mib: float
    fingerprint: str
    versions: dict[str, str]
    setup_s: float
    run_s: float
    steps: int
    fill_steps: int
    processes: int
    lanes: int
