"""What a folded network learns: weights and biases that round to integers on their way, and the neurons they drive."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kdsnn.choices import SURROGATES
from kdsnn.export.quantization.candidates import integers
from kdsnn.export.quantization.quantize import QuantizationReport
from kdsnn.export.quantization.scales import LARGEST_BIAS, bias_step, is_small_integer
from kdsnn.export.quantization.wide import largest_weight
from kdsnn.network import DECAY_UNITY, LOWEST, MEMBRANE_SHIFT, Network, Neuron, Population, Projection, neuron_of

__all__ = ["Cell", "Learnt", "Weight", "straight_through"]

FloatArray = npt.NDArray[np.float64]


class Learnt(nn.Module):
    """Float64 values, learnt or not, stored over a power of two."""

    step: torch.Tensor

    def __init__(self, values: FloatArray, step: float, largest: int, *, trained: bool) -> None:
        super().__init__()
        rms = float(np.sqrt(np.mean(values**2))) or 1.0
        self.trained, self.largest = trained, largest
        self.unit = 2.0 ** round(np.log2(rms))
        self.limit = step * largest / self.unit
        stored = torch.from_numpy(np.asarray(values, dtype=np.float64) / self.unit)
        self.parameter: torch.Tensor = nn.Parameter(stored, requires_grad=trained)
        self.register_buffer("step", torch.tensor(step, dtype=torch.float64))

    def values(self) -> torch.Tensor:
        """The float values."""
        values: torch.Tensor = self.parameter * self.unit
        return values

    def integers(self, gain: float = 1.0) -> torch.Tensor:
        """The integers that the values, `gain` times, round to."""
        values = self.values() * gain
        return straight_through(integers(values.detach(), self.step, self.largest), values / self.step)


class Weight(Learnt):
    """The weight of a projection."""

    def __init__(self, projection: Projection, like: Network, report: QuantizationReport) -> None:
        scale = next(layer.scale for layer in report.layers if layer.name == projection.target)
        counterpart = next(p for p in like.incoming(projection.target) if p.source == projection.source)
        largest = largest_weight(report.weight_bits)
        weight = projection.op.weight
        super().__init__(
            weight, scale * 2**counterpart.exponent, largest, trained=not is_small_integer(weight, largest)
        )
        self.exponent = counterpart.exponent
        self.gain = 255 / (2**like.input_bits - 1) if projection.source == like.input.name else 1.0
        self.limit /= self.gain

    def value(self, *, rounded: bool) -> torch.Tensor:
        """The weight, float32: in weight units times 2**exponent, or in the float network's own."""
        made = self.integers(self.gain) * 2**self.exponent if rounded else self.values()
        return made.to(torch.float32)

    def learnt(self) -> FloatArray:
        """The weight as the float network has it."""
        return self.values().detach().cpu().numpy()


class Cell(Learnt):
    """The bias and the neuron model of a population."""

    def __init__(self, population: Population, like: Neuron, scale: float, surrogate: str, slope: float) -> None:
        channels = population.shape[0]
        bias = neuron_of(population).bias.reshape(channels, -1)
        uniform = len(population.shape) == 3 and bool((bias == bias[:, :1]).all())
        values = bias[:, :1].reshape(channels, 1, 1) if uniform else bias.reshape(population.shape)
        super().__init__(values, bias_step(scale, like.bias_exponent), LARGEST_BIAS, trained=bool(values.any()))
        self.shape, self.exact, self.inexact = population.shape, like, neuron_of(population)
        self.scale = scale
        self.surrogate = SURROGATES.get(surrogate).gradient(slope)

    def learnt(self) -> FloatArray:
        """The bias of every neuron, as the float network has it."""
        values: FloatArray = self.values().detach().cpu().numpy()
        return np.broadcast_to(values, self.shape).reshape(-1).copy()

    def fire(self, drive: torch.Tensor, steps: int, *, rounded: bool) -> torch.Tensor:
        """Spikes `(T, B, *shape)` of the synaptic input `(T or 1, B, *shape)`.

        Of an integrator, its potential after the last step over T, in the float network's units, `(1, B, *shape)`.
        """
        drive, bias, threshold = self._added(drive, rounded=rounded)
        unit = threshold or float(2**MEMBRANE_SHIFT)
        u = v = torch.zeros_like(drive[0])
        spikes = []
        for t in range(steps):
            u = self._left(u, "decay_u", rounded=rounded) + drive[min(t, len(drive) - 1)]
            v = self._left(v, "decay_v", rounded=rounded) + u + bias
            if rounded and self.exact.clips:
                v = v.clamp(min=LOWEST)
            if not self.exact.fires:
                continue
            spike = self.surrogate((v - threshold) / unit)
            taken = (self.exact if rounded else self.inexact).reset_by
            v = v * (1 - spike.detach()) if taken is None else v - spike.detach() * float(taken)
            spikes.append(spike)
        if not self.exact.fires:
            return (v * (bias_step(self.scale, 0) if rounded else 1.0) / steps).unsqueeze(0)
        return torch.stack(spikes)

    def drive(self, drive: torch.Tensor, *, rounded: bool) -> torch.Tensor:
        """What a step of the synaptic input adds to the potentials, bias included, in units of the threshold."""
        drive, bias, threshold = self._added(drive, rounded=rounded)
        return (drive + bias) / (threshold or 1.0)

    def _added(self, drive: torch.Tensor, *, rounded: bool) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Synaptic input, bias and threshold, in units of the potential."""
        if not rounded:
            return drive, self.values().to(torch.float32), float(self.inexact.threshold)
        drive = straight_through(drive.detach().round(), drive)  # a Winograd convolution leaves fractions
        bias = (self.integers() * 2**self.exact.bias_exponent).to(torch.float32)
        return drive * 2**MEMBRANE_SHIFT, bias, float(int(self.exact.threshold) << MEMBRANE_SHIFT)

    def _left(self, x: torch.Tensor, decay: str, *, rounded: bool) -> torch.Tensor:
        """What a step's decay leaves of a current or a potential."""
        amount = float(getattr(self.exact if rounded else self.inexact, decay))
        share = 1 - amount / (DECAY_UNITY if rounded else 1)
        if share == 1:
            return x
        if share == 0:
            return torch.zeros_like(x)
        soft = x * share
        if not rounded:
            return soft
        kept = torch.floor(x.detach().abs().to(torch.float64) * (DECAY_UNITY - amount) / DECAY_UNITY)
        return straight_through((torch.sign(x.detach()) * kept).to(x.dtype), soft)


class _Instead(torch.autograd.Function):
    """A function of its own, since `soft + (exact - soft)` is not `exact` in floating point."""

    @staticmethod
    def forward(_ctx: Any, exact: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
        return exact.view_as(soft)

    @staticmethod
    def backward(_ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, gradients[0]


def straight_through(exact: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """The first argument, to the bit, with the gradient of the second."""
    result: torch.Tensor = _Instead.apply(exact, soft)
    return result
