"""The gradient of a spike, against the derivatives that snnTorch's documentation gives; no graph outlives a call."""

import gc
import math
import weakref
from collections.abc import Callable

import pytest
import snntorch
import torch

from kdsnn.choices import SURROGATES
from kdsnn.models.neurons import IF, MultiStep

DERIVATIVES: dict[str, Callable[[float, float], float]] = {
    "atan": lambda x, a: a / 2 / (1 + (math.pi / 2 * a * x) ** 2),
    "fast_sigmoid": lambda x, k: 1 / (1 + k * abs(x)) ** 2,
    "sigmoid": lambda x, k: k * math.exp(-k * x) / (1 + math.exp(-k * x)) ** 2,
}


def test_every_surrogate_has_its_derivative_here() -> None:
    assert set(DERIVATIVES) == set(SURROGATES)


@pytest.mark.parametrize("name", sorted(SURROGATES))
@pytest.mark.parametrize("slope", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("threshold", [1.0, 0.375])
def test_at_one_step_the_gradient_is_the_surrogates(name: str, slope: float, threshold: float) -> None:
    drive = torch.linspace(-2, 3, 21, requires_grad=True)
    IF(1, threshold=threshold, surrogate=name, slope=slope)(drive[None]).sum().backward()
    expected = [DERIVATIVES[name](x - threshold, slope) for x in drive.tolist()]
    assert drive.grad is not None
    assert drive.grad.tolist() == pytest.approx(expected, rel=1e-5)  # float32


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_through_time_the_gradient_is_the_chain_of_steps_that_did_not_fire(name: str) -> None:
    """Drives of 0.6 and 0.7: H is 0.6, then 1.3, which fires; the second spike hangs on both drives alike."""
    drive = torch.tensor([[0.6], [0.7]], requires_grad=True)
    IF(2, surrogate=name, slope=2.0)(drive)[1].sum().backward()
    assert drive.grad is not None
    late = DERIVATIVES[name](0.3, 2.0)
    assert drive.grad.flatten().tolist() == pytest.approx([late, late], rel=1e-5)  # float32; resets are detached


@pytest.mark.parametrize(
    "cell",
    [
        snntorch.Leaky(beta=0.9, reset_mechanism="zero", spike_grad=SURROGATES["atan"].gradient(2.0)),
        snntorch.Synaptic(alpha=0.8, beta=0.9, reset_mechanism="zero", spike_grad=SURROGATES["atan"].gradient(2.0)),
    ],
)
def test_no_graph_and_no_state_outlive_a_call(cell: torch.nn.Module) -> None:
    layer = MultiStep(3, cell)
    drive = torch.rand(3, 4, requires_grad=True)
    held = weakref.ref(drive)
    spikes = layer(drive)
    spikes.sum().backward()
    del drive, spikes
    gc.collect()
    assert held() is None
    assert not any(t.requires_grad or t.numel() for n, t in cell.named_buffers() if n in layer.states)
    assert all(getattr(cell, name).numel() == 0 for name in layer.states)


def test_half_precision_drives_give_half_precision_spikes() -> None:
    drive = torch.rand(2 * 5, 3, dtype=torch.bfloat16)
    spikes = IF(2)(drive)
    assert spikes.dtype == torch.bfloat16
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
