"""Neurons of one population over a block of time steps, in torch: what enters them in, their spikes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kdsnn.network import DECAY_UNITY, HIGHEST, LOWEST, MEMBRANE_SHIFT, Neuron
from kdsnn.targets.gpu.exact_products import Sums, words
from kdsnn.targets.gpu.reused_memory import Scratch

__all__ = ["State", "fire_in_periods", "forgets_nothing", "integrate"]


@dataclass
class State:
    """What the neurons of a batch keep from step to step.

    Attributes:
        v: potentials `(B, *shape)`, int32.
        u: currents, likewise; a zero for all where they are not kept.
        before: spikes of the step before, bool, where a population feeds itself; None at the first. They are read
            before the next block writes its first in that memory.
    """

    v: torch.Tensor
    u: torch.Tensor
    before: torch.Tensor | None = None


def integrate(
    neuron: Neuron,
    drive: torch.Tensor,
    bias: torch.Tensor,
    echoes: Sequence[Sums],
    state: State,
    train: torch.Tensor,
    scratch: Scratch,
) -> None:
    """Writes the spikes of a population, step by step, and its state after the last step.

    Args:
        neuron: what its neurons do.
        drive: what other populations send, `(T, B, *shape)` int32, or `(1, B, *shape)` if each step has the same; with
            the bias, where no current is kept.
        bias: of a neuron.
        echoes: what each projection of a population to itself makes of the spikes of the step before.
        state: before the first step; written.
        train: `(T, B, *shape)` bool; written.
        scratch: memory.
    """
    threshold = int(neuron.threshold) << MEMBRANE_SHIFT
    v, u = state.v, state.u
    flags = scratch.take("flags", v.shape, torch.int32)  # 0 or 1, in the type that it multiplies
    for step, spikes in enumerate(train):
        entering = drive[min(step, len(drive) - 1)]
        if echoes and state.before is not None:
            heard = scratch.take("with echo", v.shape, torch.int32)
            for echo in echoes:
                entering = torch.add(entering, echo.weighted(state.before), alpha=echo.scale, out=heard)
        if neuron.decay_u != DECAY_UNITY:
            u = _decay(u, int(neuron.decay_u)) + entering
            entering = u + bias
        v = _decay(v, int(neuron.decay_v)).add_(entering)
        if neuron.clips:
            v.clamp_(LOWEST, HIGHEST)
        if neuron.reset_by is None:
            torch.le(v, threshold, out=flags)
            v.mul_(flags)
            spikes.copy_(flags).bitwise_not_()
        else:
            torch.gt(v, threshold, out=flags)
            v.sub_(flags, alpha=int(neuron.reset_by))
            spikes.copy_(flags)
        if echoes:
            state.before = spikes
    state.v, state.u = v, u


def forgets_nothing(neuron: Neuron) -> bool:
    """Whether it sums up until it fires, and then starts at zero: `fire_in_periods` knows what it does."""
    return neuron.fires and (neuron.decay_u, neuron.decay_v) == (DECAY_UNITY, 0) and neuron.reset_by is None


def fire_in_periods(neuron: Neuron, drive: torch.Tensor, train: torch.Tensor, scratch: Scratch) -> None:
    """Writes the spikes of neurons that get the same at every step, from the first, and forget nothing.

    One that fires first in step p, where p times its drive is above the threshold, does so in all multiples of p.
    One that falls never fires, whether it clips or not; one that rises fires before it could clip.
    """
    threshold = int(neuron.threshold) << MEMBRANE_SHIFT
    fired, before = (scratch.take(name, drive.shape, torch.uint8) for name in ("fired", "fired before"))
    train.copy_(torch.gt(drive, threshold, out=before))  # into bytes: a CPU compares into a bool one at a time
    for period in range(2, len(train) + 1):
        torch.gt(drive, threshold // period, out=fired)
        words(train)[period - 1 :: period] |= words(before).bitwise_xor_(words(fired))
        fired, before = before, fired


def _decay(x: torch.Tensor, amount: int) -> torch.Tensor:
    if amount == 0:
        return x
    if amount == DECAY_UNITY:
        return torch.zeros_like(x)
    kept = x.abs().to(torch.int64) * (DECAY_UNITY - amount) >> 12
    return (torch.sign(x) * kept).to(torch.int32)
