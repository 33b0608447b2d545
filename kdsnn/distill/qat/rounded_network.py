"""A float network as a torch module that computes its integer network's spikes to the bit, and can be trained.

The forward pass holds integers in float32, which is exact below 2**24; `kdsnn.network.overflow` keeps them there. The
backward pass takes rounding as the identity (straight-through: Bengio et al. 2013), and a spike by its surrogate
gradient.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.distill.qat.rounded_layers import Cell, Weight
from kdsnn.errors import NetworkError
from kdsnn.export.quantization.quantize import QuantizationReport, requantize
from kdsnn.models.in_time import fold
from kdsnn.network import Conv2d, Dense, Network, Neuron, Projection, Shape, neuron_of

__all__ = ["FoldedNet"]

Spikes = dict[str, torch.Tensor]


class FoldedNet(nn.Module):
    """The populations and projections of a float network, rounded in every forward pass as an integer network is.

    A weight is learnt for each projection, and a bias for each channel (each neuron, where it differs within a
    channel). Projections that hold integers already (OR pools, relays, identities) and biases that are all zero stay
    what they are. Parameters are float64 and divided by a power of two near their size, so that one learning rate fits
    all of them and nothing is lost on the way back.

    Args:
        network: the float network.
        like: the integer network made of it, whose thresholds, exponents and input width are kept.
        report: how that was made.
        surrogate: name of the gradient in place of the step's, one of `kdsnn.choices.SURROGATES`.
        slope: of the surrogate, for a potential in units of the threshold.

    Raises:
        NetworkError: a population feeds itself, which is not trained here.
    """

    def __init__(
        self,
        network: Network,
        like: Network,
        report: QuantizationReport,
        *,
        surrogate: str = "atan",
        slope: float = 2.0,
    ) -> None:
        super().__init__()
        own = [projection.target for projection in network.projections if projection.recurrent]
        if own:
            raise NetworkError(
                f"population {own[0]!r} feeds itself, and such a network cannot be fine-tuned",
                hint="leave out --qat-epochs: quantize it as it is",
            )
        self.network, self.like, self.report = network, like, report
        self.weights = nn.ModuleDict({_key(p.name): Weight(p, like, report) for p in network.projections})
        self.populations = nn.ModuleDict()
        for population, layer in zip(network.spiking, report.layers, strict=True):
            cell = Cell(population, neuron_of(like.population(population.name)), layer.scale, surrogate, slope)
            self.populations[_key(population.name)] = cell

    def forward(self, images: torch.Tensor, rounded: Collection[str] | None = None) -> Spikes:
        """The spikes of every spiking population, `(T, B, *shape)`; of an integrator, see `Cell.fire`.

        Args:
            images: pixels `(B, C, H, W)` from 0 to 255, of any dtype; in time `(B, T, C, H, W)`.
            rounded: names of the populations to compute in integers, the projections into them with them; the others
                are computed as the float network has them. None rounds all.
        """
        return self.answer(images, rounded)[0]

    def answer(self, images: torch.Tensor, rounded: Collection[str] | None = None) -> tuple[Spikes, torch.Tensor]:
        """`forward`, and what drives the output population, `(T or 1, B, *shape)`; see `Cell.drive`."""
        steps = self.network.timesteps
        pixels = (images if self.network.static else fold(images)).to(torch.float32)
        messages = torch.floor(pixels / 2 ** (8 - self.like.input_bits))
        spikes: Spikes = {}
        for population in self.network.spiking:
            name = population.name
            cell, exact = self._cell(name), rounded is None or name in rounded
            incoming = self.network.incoming(name)
            if len(incoming) == 1 and incoming[0].source in spikes and _is_or(incoming[0], neuron_of(population)):
                spikes[name] = driven = _or(incoming[0].op, spikes[incoming[0].source], population.shape)
                continue
            drive: torch.Tensor | float = 0.0
            for projection in incoming:
                weight = self._weight(projection).value(rounded=exact)
                if (
                    projection.source == self.network.input.name
                ):  # a still image is the same at every step: once is enough
                    part = _apply(projection.op, weight, messages if exact else pixels)
                    part = part.reshape(1 if self.network.static else steps, -1, *part.shape[1:])
                else:
                    train = spikes[projection.source]
                    part = _apply(projection.op, weight, train.flatten(0, 1))
                    part = part.reshape(steps, -1, *part.shape[1:])
                drive = drive + part
            assert isinstance(drive, torch.Tensor)  # noqa: S101  every population has a projection
            spikes[name] = cell.fire(drive, steps, rounded=exact)
            if name == self.network.output.name:
                driven = cell.drive(drive, rounded=exact)
        return spikes, driven

    def rates(self, images: torch.Tensor, rounded: Collection[str] | None = None) -> torch.Tensor:
        """Firing rates of the output population, or its potential over T, `(B, classes)`; arguments as `forward`'s."""
        return self(images, rounded)[self.network.output.name].mean(dim=0)  # type: ignore[no-any-return]

    def to_float(self) -> Network:
        """The float network as it is learnt by now."""
        projections = tuple(
            replace(p, op=replace(p.op, weight=self._weight(p).learnt())) for p in self.network.projections
        )
        populations = tuple(
            replace(p, model=replace(neuron_of(p), bias=self._cell(p.name).learnt())) for p in self.network.spiking
        )
        return replace(self.network, populations=(self.network.input, *populations), projections=projections)

    def to_integer(self) -> tuple[Network, QuantizationReport]:
        """The integer network that `forward` computes, and its report. Its bounds are not checked."""
        return requantize(self.to_float(), self.like, self.report)

    def clamp(self) -> None:
        """Keeps what is learnt within the range of the integers, so that a clipped weight can come back at once."""
        with torch.no_grad():
            for module in (*self.weights.values(), *self.populations.values()):
                assert isinstance(module, Weight | Cell)  # noqa: S101
                if module.trained:
                    module.parameter.clamp_(-module.limit, module.limit)

    def shrink(self, name: str, channels: npt.NDArray[np.bool_], factor: float) -> None:
        """Multiplies the weights and biases of some channels of a population."""
        chosen = torch.from_numpy(channels)
        with torch.no_grad():
            for projection in self.network.incoming(name):
                weight = self._weight(projection)
                if weight.trained:
                    weight.parameter[chosen.to(weight.parameter.device)] *= factor
            cell = self._cell(name)
            if cell.trained:
                bias = cell.parameter.reshape(len(channels), -1)
                bias[chosen.to(bias.device)] *= factor

    def _weight(self, projection: Projection) -> Weight:
        module = self.weights[_key(projection.name)]
        assert isinstance(module, Weight)  # noqa: S101
        return module

    def _cell(self, name: str) -> Cell:
        module = self.populations[_key(name)]
        assert isinstance(module, Cell)  # noqa: S101
        return module


def _key(name: str) -> str:
    """A name that torch accepts for a module, whatever the population is called."""
    return f"{name.replace('.', '/')}:"


def _apply(op: Conv2d | Dense, weight: torch.Tensor, messages: torch.Tensor) -> torch.Tensor:
    """The sums of `(B, *source shape)`."""
    if isinstance(op, Dense):
        return messages.flatten(1) @ weight.T
    return F.conv2d(messages, weight, None, op.stride, op.padding, op.dilation, op.groups)


def _is_or(projection: Projection, neuron: Neuron) -> bool:
    """Whether a population fires exactly where any neuron of a window did: then its gradient is max-pooling's."""
    op = projection.op
    if neuron.threshold >= 1 or neuron.bias.any() or neuron.reset_by is not None:
        return False
    if isinstance(op, Dense):
        return op.weight.shape[0] == op.weight.shape[1] and bool((op.weight == np.eye(len(op.weight))).all())
    small = all(2 * p <= k for p, k in zip(op.padding, op.weight.shape[2:], strict=True))
    return bool((op.weight == 1).all()) and op.groups == op.weight.shape[0] and op.weight.shape[1] == 1 and small


def _or(op: Conv2d | Dense, train: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Spikes `(T, B, *shape)` of an OR pool of `(T, B, C, H, W)`, or of a relay."""
    if isinstance(op, Dense):
        return train.reshape(*train.shape[:2], *shape)
    kernel = (int(op.weight.shape[2]), int(op.weight.shape[3]))
    pooled = F.max_pool2d(train.flatten(0, 1), kernel, op.stride, op.padding, op.dilation)
    return pooled.reshape(*train.shape[:2], *shape)
