"""Integrate-and-fire over T steps in one pass: the spikes and the gradients of snnTorch's cell, bit for bit.

    H[0] = X[0];  H[t] = X[t] + H[t - 1] (1 - S[t - 1]);  S[t] = [H[t] > threshold]
    dL/dH[t] = dL/dS[t] surrogate'(H[t] - threshold) + dL/dH[t + 1] (1 - S[t])

A reset carries no gradient. Only H is kept for the way back, and both ways work through parts that caches hold.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from kdsnn.models.surrogates import Chain

__all__ = ["integrate_and_fire"]

PART = 2**16  # neurons at once on a CPU: 256 KiB a step


def integrate_and_fire(drive: torch.Tensor, timesteps: int, threshold: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Spikes of a drive, both `(T * B, ...)` in float32 and in one memory layout.

    Args:
        drive: of all steps, all images of the first step first.
        timesteps: T.
        threshold: of all neurons, one number.
        chain: what the surrogate makes of a gradient.
    """
    last = drive.dim() == 4 and not drive.is_contiguous() and drive.is_contiguous(memory_format=torch.channels_last)
    flat = drive.permute(0, 2, 3, 1) if last else drive  # as it lies in memory
    spikes = _IntegrateAndFire.apply(flat.reshape(timesteps, -1), threshold, chain).view(flat.shape)
    made: torch.Tensor = spikes.permute(0, 3, 1, 2) if last else spikes
    return made


class _IntegrateAndFire(torch.autograd.Function):
    """The equations above, of a drive `(T, neurons)`."""

    @staticmethod
    def forward(ctx: Any, drive: torch.Tensor, threshold: torch.Tensor, chain: Chain) -> torch.Tensor:
        drive = drive.contiguous()
        steps, learns = len(drive), ctx.needs_input_grad[0]
        spikes = torch.empty_like(drive)
        potentials = torch.empty_like(drive if learns else drive[:1])
        kept = torch.empty_like(drive[0, : _part(drive)])
        for begin in range(0, drive.shape[1], _part(drive)):
            part = slice(begin, begin + _part(drive))
            v = potentials[0, part].copy_(drive[0, part])
            stays = kept[: len(v)]
            for step in range(steps):
                fired = spikes[step, part]
                torch.gt(v, threshold, out=fired)
                if step + 1 < steps:
                    torch.sub(1, fired, out=stays)
                    after = potentials[step + 1, part] if learns else v
                    v = torch.addcmul(drive[step + 1, part], v, stays, out=after)
        if learns:
            ctx.save_for_backward(potentials, threshold)
        ctx.chain = chain
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        potentials, threshold = ctx.saved_tensors
        made = torch.empty_like(potentials)
        kept = torch.empty_like(potentials[0, : _part(potentials)])
        for begin in range(0, potentials.shape[1], _part(potentials)):
            part = slice(begin, begin + _part(potentials))
            later: torch.Tensor | None = None
            for step in reversed(range(len(potentials))):
                v, gradient = potentials[step, part], made[step, part]
                torch.sub(v, threshold, out=gradient)
                ctx.chain(gradient, upstream[step, part])
                if later is not None:
                    stays = kept[: len(v)]
                    torch.le(v, threshold, out=stays)
                    gradient.addcmul_(later, stays)
                later = gradient
        return made, None, None


def _part(values: torch.Tensor) -> int:
    return PART if values.device.type == "cpu" else values.shape[1]
