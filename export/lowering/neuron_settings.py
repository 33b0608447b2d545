"""What snnTorch's neurons compute, as far as populations can: thresholds, decays, and what a spike does to a potential.

Most of snnTorch's resets come a step late: `mem[t] = beta mem[t-1] + I[t] - spk[t-1] theta`. That is a spike that takes
theta / beta at once. A potential that is set to zero is the same at once or later, unless the neuron drops the input of
that later step with it. `docs/modules.md` has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import snntorch
import torch

from kdsnn.errors import LoweringError
from kdsnn.export.lowering.linear_functions import numbers_of
from kdsnn.export.lowering.linear_stream import FloatArray
from kdsnn.network import Conv2d, Network, Population, neuron_of

__all__ = ["CARRIED", "OTHERS", "Settings", "check_residual", "settings_of"]

CARRIED = (snntorch.Leaky, snntorch.Synaptic, snntorch.RLeaky, snntorch.RSynaptic)
WITH_CURRENT = (snntorch.Synaptic, snntorch.RSynaptic)
OTHERS = "neurons that can be: snntorch.Leaky, Synaptic, RLeaky and RSynaptic, as they are"
PROBE = torch.tensor([-1e9, -3.0, -1.0, -0.5, -1e-6, 0.0, 1e-6, 0.3, 1.0, 3.0, 1e9]).repeat(16)
RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
NUMBERS = {"subtract": 0, "zero": 1, "none": 2}  # as snnTorch numbers them
ROOM = 1e-5  # of a threshold: what float32 may add to a potential


@dataclass(frozen=True)
class Settings:
    """What a neuron computes. Thresholds `(1,)`, or as many as neurons, broadcast.

    Attributes:
        threshold: above which it fires.
        decay_u: share of the current lost in a step.
        decay_v: of the potential.
        taken: what a spike takes from the potential, in thresholds; None sets it to zero.
        residual: whether that holds only while no potential is above the threshold once a spike has taken its part.
    """

    threshold: FloatArray
    decay_u: float
    decay_v: float
    taken: float | None = None
    residual: bool = False

    def same(self, other: Settings) -> bool:
        """Whether two are equal."""
        mine, theirs = ((s.decay_u, s.decay_v, s.taken, s.residual) for s in (self, other))
        return mine == theirs and np.array_equal(self.threshold, other.threshold)


def settings_of(neuron: Any) -> Settings:
    """What a neuron computes.

    Raises:
        LoweringError: it is not as snnTorch made it, or cannot be carried.
    """
    kind = type(neuron)
    if kind not in CARRIED:
        raise LoweringError("neurons of its kind cannot be carried", hint=OTHERS)
    own = sorted(name for name in vars(neuron) if name != "forward" and callable(getattr(kind, name, None)))
    mechanism = next((reset for name, reset in RESETS.items() if neuron.state_function == getattr(neuron, name)), None)
    if own or mechanism is None:
        raise LoweringError(f"it has functions of its own: {', '.join(own) or 'state_function'}", hint=OTHERS)
    if neuron.inhibition or neuron.state_quant or not bool((neuron.graded_spikes_factor == 1).all()):
        raise LoweringError("inhibition, state_quant and graded spikes have no counterpart on the hardware")
    if not torch.equal(neuron.spike_grad(PROBE).to(PROBE.dtype), (PROBE > 0).to(PROBE.dtype)):
        raise LoweringError("its spike_grad is no step: it does not fire where the potential is above the threshold")
    threshold = numbers_of(neuron.threshold)
    if (threshold <= 0).any():
        raise LoweringError(f"its threshold is {threshold.min():g}, not a positive number")
    beta = min(max(_one_number(neuron.beta, "beta"), 0.0), 1.0)
    alpha = min(max(_one_number(neuron.alpha, "alpha"), 0.0), 1.0) if isinstance(neuron, WITH_CURRENT) else 0.0
    taken, residual = _reset(neuron, mechanism, beta)
    return Settings(np.atleast_1d(threshold), 1.0 - alpha, 1.0 - beta, taken, residual)


def _reset(neuron: Any, mechanism: str, beta: float) -> tuple[float | None, bool]:
    """What a spike takes, in thresholds, and whether that holds only without a residual; see `Settings`."""
    kind = type(neuron)
    if not neuron.reset_delay:
        if kind is snntorch.RSynaptic:
            raise LoweringError("snnTorch does not reset it with reset_delay=False", hint="leave out reset_delay")
        if int(neuron.reset_mechanism_val) != NUMBERS[mechanism]:
            raise LoweringError(
                f"its reset is {mechanism!r}, which it was made with, and {neuron.reset_mechanism!r}, set since",
                hint="make it with the one that is meant: reset_mechanism=",
            )
    if mechanism == "none":
        return 0.0, False
    if mechanism == "zero":
        if neuron.reset_delay and kind is not snntorch.Leaky:
            other = "reset_mechanism='subtract' or 'none'" if kind is snntorch.RSynaptic else "reset_delay=False"
            raise LoweringError("it loses its input at the step after a spike", hint=f"use {other}")
        return None, False
    if not neuron.reset_delay:
        return 1.0, True
    if beta == 0:
        raise LoweringError(
            "with beta 0 its reset 'subtract' takes the threshold from a potential that has forgotten the spike",
            hint="give it a beta above 0, or reset_mechanism='zero', which then is no reset at all",
        )
    return 1.0 / beta, False


def _one_number(value: torch.Tensor, name: str) -> float:
    """The value of a parameter that the hardware has once a population."""
    values = np.unique(numbers_of(value))
    if values.size != 1:
        raise LoweringError(f"its {name} is not one number: the hardware has one a population")
    return float(values[0])


def check_residual(network: Network, population: Population, largest: float) -> None:
    """Raises LoweringError unless no potential can be above twice the threshold, so that a spike leaves no residual.

    With reset_delay=False and 'subtract', snnTorch subtracts again at the next step where a potential is still above
    the threshold, and gives it back where that stops it from firing.

    Args:
        network: float.
        population: of the neuron.
        largest: message of the input.
    """
    neuron = neuron_of(population)
    highest = neuron.bias.reshape(population.shape).astype(np.float64)
    for projection in network.incoming(population.name):
        op = projection.op
        sums = np.maximum(op.weight.reshape(op.weight.shape[0], -1), 0).sum(axis=1)
        sums = sums * (largest if projection.source == network.input.name else 1.0)
        highest = highest + (sums.reshape(-1, 1, 1) if isinstance(op, Conv2d) else sums.reshape(population.shape))
    alpha = 1 - neuron.decay_u
    steps = network.timesteps if alpha == 1 else (1 - alpha**network.timesteps) / (1 - alpha)
    reached = (1 - neuron.decay_v) * neuron.threshold + float(highest.max()) * steps
    if reached > neuron.threshold * (2 - ROOM):
        raise LoweringError(
            "with reset_delay=False its reset 'subtract' acts otherwise where a potential is above the threshold still"
            f" after a spike: here it could reach {reached / neuron.threshold:.3g} thresholds before, and 2 are safe",
            hint="make it with reset_delay=True, snnTorch's default, and train the network on for some epochs with it",
        )
