"""The job that the Lava worker runs: a folder with `job.json` and the arrays of a network, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kdsnn.network import Conv2d, Network, Neuron, Population, Projection
from kdsnn.targets.processes.jobs import write_files

if TYPE_CHECKING:
    from kdsnn.targets.lava.worker.lava_job import Job, JobPopulation, JobProjection

__all__ = ["write_job"]


def write_job(
    folder: Path,
    network: Network,
    images: npt.NDArray[np.uint8],
    recorded: list[str],
    *,
    stock: bool = False,
    lanes: int = 1,
    parent: int | None = None,
) -> list[Path]:
    """Writes a job for the worker, and returns its files.

    Args:
        folder: exists.
        network: fits Lava.
        images: `(N, *image_shape)` uint8.
        recorded: populations whose spikes to keep.
        stock: whether Lava's own process models compute, in place of ours.
        lanes: images that run side by side.
        parent: process that the worker shall not outlive; None for a job that is started by hand.
    """
    job: Job = {
        "schema": "kdsnn.lava-job/1",
        "fingerprint": network.fingerprint(),
        "parent": parent,
        "timesteps": network.timesteps,
        "samples": len(images),
        "bits": network.input_bits,
        "static": network.static,
        "stock": stock,
        "lanes": lanes,
        "record": recorded,
        "populations": [_population(p, network.depths[p.name]) for p in network.populations],
        "projections": [_projection(p) for p in network.projections],
    }
    arrays = {"images.npy": images}
    arrays |= {f"weight.{i}.npy": p.op.weight.astype(np.int16) for i, p in enumerate(network.projections)}
    for index, population in enumerate(network.populations):
        if isinstance(population.model, Neuron):
            arrays[f"bias.{index}.npy"] = population.model.bias.astype(np.int16)
    return write_files(folder, job, arrays)


def _population(population: Population, depth: int) -> JobPopulation:
    record: JobPopulation = {"name": population.name, "shape": population.shape, "depth": depth}
    model = population.model
    if isinstance(model, Neuron):
        record |= {
            "threshold": int(model.threshold),
            "bias_exponent": int(model.bias_exponent),
            "decay_u": int(model.decay_u),
            "decay_v": int(model.decay_v),
            "fires": model.fires,
            "reset_by": None if model.reset_by is None else int(model.reset_by),
        }
    return record


def _projection(projection: Projection) -> JobProjection:
    op = projection.op
    record: JobProjection = {
        "source": projection.source,
        "target": projection.target,
        "kind": op.kind,
        "exponent": projection.exponent,
    }
    if isinstance(op, Conv2d):
        record |= {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
    return record
