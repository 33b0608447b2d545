"""Layers that a student is made of, beside those of torch: the multi-step IF neuron, the repeat in time, normalisation.

Time is folded into the batch: a tensor of T steps and B images is `(T * B, ...)`, all images of the first step first.
So convolutions see all steps at once, and what stands before `Repeat` is computed once for all steps. Images in time
are folded before the first layer, and then `Repeat` has nothing to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import snntorch
import torch
from torch import nn

from kdsnn.choices import SURROGATES
from kdsnn.models.integrate import integrate_and_fire

__all__ = ["IF", "MultiStep", "Normalize", "Repeat"]

STATES: dict[type[nn.Module], tuple[str, ...]] = {snntorch.Leaky: ("mem",), snntorch.Synaptic: ("syn", "mem")}


class Repeat(nn.Module):
    """Shows the same input at every time step: `(B, ...)` becomes `(T * B, ...)`, in the layout that it has.

    Args:
        timesteps: T.

    Attributes:
        folded: whether the input has its time steps already, and passes as it is.
    """

    def __init__(self, timesteps: int) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.folded = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input T times, `(T * B, ...)`."""
        if self.folded:
            return x
        return torch.cat([x] * self.timesteps)  # keeps channels last, as an expanded view would not


class MultiStep(nn.Module):
    """One of snnTorch's neurons over T steps, from rest in every call.

    Args:
        timesteps: T, folded into the batch of the input.
        cell: `snntorch.Leaky` or `snntorch.Synaptic` that takes and returns its state (`init_hidden=False`).
    """

    def __init__(self, timesteps: int, cell: nn.Module) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.cell = cell
        self.states = STATES[type(cell)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes of the drive `x`, both `(T * B, ...)`."""
        drive = x.to(torch.promote_types(x.dtype, torch.float32))  # potentials need more than bfloat16's eight bits
        steps = drive.reshape(self.timesteps, -1, *x.shape[1:])
        state = [torch.zeros_like(steps[0])] * len(self.states)
        spikes = []
        for step in steps:
            spike, *state = self.cell(step, *state)
            spikes.append(spike)
        for name in self.states:
            setattr(self.cell, name, torch.zeros(0, device=x.device))  # hold no graph between calls
        return torch.cat(spikes).to(x.dtype)  # surrogates answer in float32


class IF(MultiStep):
    """Integrate-and-fire neurons over T steps: `H = V + X`; spike where `H > threshold`; `V = 0` where it spiked.

    Or `V = H - threshold` there, where the reset is by subtraction. The cell is snnTorch's `Leaky` with beta 1. What
    one with a reset to zero computes is computed for all steps at once, bit for bit, as long as the cell is that and
    nothing else; any other cell runs itself, step by step.

    Args:
        timesteps: T, folded into the batch of the input.
        threshold: of all neurons.
        surrogate: name of the gradient in place of the step's, one of `kdsnn.choices.SURROGATES`.
        slope: of the surrogate.
        reset: `zero`, or `subtract`.
    """

    def __init__(
        self,
        timesteps: int,
        *,
        threshold: float = 1.0,
        surrogate: str = "atan",
        slope: float = 2.0,
        reset: Literal["zero", "subtract"] = "zero",
    ) -> None:
        chosen = SURROGATES.get(surrogate)
        gradient = chosen.gradient(slope)
        cell = snntorch.Leaky(beta=1.0, threshold=threshold, reset_mechanism=reset, spike_grad=gradient)
        super().__init__(timesteps, cell)
        self.gradient, self.chain = gradient, chosen.chain(slope)
        self.known: tuple[list[torch.Tensor], list[int], bool] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes of the drive `x`, both `(T * B, ...)`."""
        if x.dtype == torch.float64 or not self.is_plain():
            return super().forward(x)
        threshold = cast(torch.Tensor, self.cell.threshold)
        return integrate_and_fire(x.float(), self.timesteps, threshold, self.chain).to(x.dtype)

    def is_plain(self) -> bool:
        """Whether the cell is what was made here, whatever its threshold; what it was given later counts."""
        cell: Any = self.cell
        extras = (cell.inhibition, cell.state_quant, cell.init_hidden, cell._forward_hooks, cell._forward_pre_hooks)
        return (
            type(cell) is snntorch.Leaky
            and cell.spike_grad is self.gradient
            and cell.reset_mechanism == "zero"
            and bool(cell.reset_delay)
            and not any(extras)
            and cell.threshold.numel() == 1
            and not any(value.requires_grad for value in (cell.beta, cell.threshold, cell.graded_spikes_factor))
            and self._are_one([cell.beta, cell.graded_spikes_factor])
        )

    def _are_one(self, values: list[torch.Tensor]) -> bool:
        """Whether all values are 1. They are read again where they have changed: to read is to wait for a GPU."""
        versions = [-1 if value.is_inference() else value._version for value in values]
        if self.known is not None:
            seen, at, answer = self.known
            if at == versions and all(a is b for a, b in zip(seen, values, strict=True)):
                return answer
        self.known = (values, versions, all(bool((value == 1).all()) for value in values))
        return self.known[2]


class Normalize(nn.Module):
    """Subtracts a mean and divides by a deviation, channel by channel.

    Args:
        mean: of each channel, for images in [0, 1].
        std: of each channel.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The normalised images, `(B, C, H, W)`."""
        return (x - self.mean) / self.std
