"""A network on the cores of a chip, as far as energy and time depend on it, and the time of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kdsnn.energy.models import Chip

__all__ = ["Deployment", "Traffic", "Work", "step_s"]


@dataclass(frozen=True)
class Work:
    """What one core does in a time step, on average over steps and samples."""

    synops: float
    spikes: float
    updates: int


@dataclass(frozen=True)
class Traffic:
    """Messages into a layer per sample, and the hops between tiles that they make; a spike to three cores is three."""

    messages: float
    hops_east_west: float
    hops_north_south: float


@dataclass(frozen=True)
class Deployment:
    """A network on chips.

    Attributes:
        chips: that it takes.
        cores: in use, with what each does.
        timesteps: of a sample.
        depth: steps that the output works after the input.
        traffic: into each layer, by its name.
        even: whether spikes are taken to be spread evenly over a layer's neurons, for want of each neuron's count.
        problems: what does not fit the chip.
    """

    chips: int
    cores: tuple[Work, ...]
    timesteps: int
    depth: int
    traffic: Mapping[str, Traffic]
    even: bool = False
    problems: tuple[str, ...] = ()


def step_s(chip: Chip, deployment: Deployment) -> float | None:
    """Seconds of a time step: the busiest core's work, one thing after another, and the barrier that all wait at.

    It is the average step's busiest core, which is never busier than the average busiest core. Congestion on the mesh
    is not in it. None on more than one chip: no barrier between so few chips is published.
    """
    if deployment.chips > 1:
        return None
    time = chip.time_ns
    busiest = max(
        work.synops * time.synaptic_operation
        + work.spikes * time.neuron_update_active
        + (work.updates - work.spikes) * time.neuron_update_inactive
        for work in deployment.cores
    )
    return 1e-9 * busiest + chip.barrier_s(math.ceil(len(deployment.cores) / chip.cores_per_tile))
