"""All steps at once, against the cell step by step: the same spikes and gradients, bit for bit."""

import copy
from collections.abc import Callable

import pytest
import snntorch
import torch

from kdsnn.choices import SURROGATES
from kdsnn.models import integrate, neurons
from kdsnn.models.neurons import IF, MultiStep

STEPS = 4


def both(layer: IF, drive: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Spikes and gradients of the layer, and of its cell step by step."""
    torch.manual_seed(7)
    upstream = torch.randn(drive.shape).to(drive.dtype)

    def ran(forward: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        x = drive.detach().clone().requires_grad_()
        spikes = forward(x)
        spikes.backward(upstream)
        assert x.grad is not None
        return [spikes.detach(), x.grad]

    return ran(layer), ran(lambda x: MultiStep.forward(layer, x))


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call went step by step."""
    seen: list[bool] = []
    whole, steps = neurons.integrate_and_fire, MultiStep.forward

    def at_once(*arguments: object) -> torch.Tensor:
        seen.append(False)
        return whole(*arguments)

    def by_steps(layer: MultiStep, x: torch.Tensor) -> torch.Tensor:
        seen.append(True)
        return steps(layer, x)

    monkeypatch.setattr(neurons, "integrate_and_fire", at_once)
    monkeypatch.setattr(MultiStep, "forward", by_steps)
    return seen


@pytest.mark.parametrize("surrogate", sorted(SURROGATES))
@pytest.mark.parametrize("slope", [2.0, 3.7])
@pytest.mark.parametrize("shape", [(STEPS * 3, 5, 7, 9), (STEPS * 3, 11), (STEPS, 2, 1, 1), (STEPS * 3, 1, 4, 4)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("part", [8, 2**16])
def test_spikes_and_gradients_are_the_cells(
    surrogate: str, slope: float, shape: tuple[int, ...], last: bool, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrate, "PART", part)
    torch.manual_seed(0)
    drive = torch.randn(shape) * 0.8 + 0.3
    drive.flatten()[:3] = torch.tensor([0.375, 0.0, -0.0])  # at the threshold, which does not fire
    if last and len(shape) == 4:
        drive = drive.to(memory_format=torch.channels_last)
    got, wanted = both(IF(STEPS, threshold=0.375, surrogate=surrogate, slope=slope), drive)
    assert 0 < wanted[0].mean() < 1
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])  # the same operations in the same order: nothing to tolerate
    if last and len(shape) == 4:
        assert got[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_too(dtype: torch.dtype, stepped: list[bool]) -> None:
    torch.manual_seed(0)
    got, wanted = both(IF(STEPS), (torch.randn(STEPS * 3, 11) * 0.8 + 0.3).to(dtype))
    assert all(map(torch.equal, got, wanted))
    assert got[0].dtype == dtype
    assert stepped == [dtype == torch.float64, True]


def test_values_that_are_not_finite_spread_as_in_the_cell() -> None:
    drive = torch.tensor([[float("inf"), float("nan"), -float("inf"), 0.5]] * STEPS)
    layer = IF(STEPS)
    assert torch.equal(layer(drive), MultiStep.forward(layer, drive))


def test_without_gradients_the_spikes_are_the_same() -> None:
    layer, drive = IF(STEPS), torch.randn(STEPS * 5, 3, 8, 8)
    with torch.no_grad():
        silent = layer(drive)
    with torch.inference_mode():
        inferred = layer(drive)
    spikes = layer(drive.requires_grad_())
    assert torch.equal(silent, spikes)
    assert torch.equal(inferred, spikes)
    assert spikes.requires_grad
    assert not silent.requires_grad


def test_a_drive_that_is_a_view_is_read_and_not_written() -> None:
    image = torch.randn(3, 5, requires_grad=True)
    drive = image.expand(STEPS, 3, 5).transpose(1, 2)[:, ::2].transpose(1, 2).flatten(0, 1)
    before = drive.detach().clone()
    got, wanted = both(IF(STEPS), drive)
    assert all(map(torch.equal, got, wanted))
    assert torch.equal(drive, before)


CHANGES: dict[str, Callable[[IF], object]] = {
    "beta": lambda layer: layer.cell.beta.fill_(0.5),
    "another beta": lambda layer: setattr(layer.cell, "beta", torch.tensor(0.5)),
    "graded spikes": lambda layer: layer.cell.graded_spikes_factor.fill_(2.0),
    "surrogate": lambda layer: setattr(layer.cell, "spike_grad", SURROGATES["sigmoid"].gradient(5.0)),
    "a threshold a neuron": lambda layer: setattr(layer.cell, "threshold", torch.full((11,), 0.5)),
    "a threshold that learns": lambda layer: layer.cell.threshold.requires_grad_(),
    "quantized state": lambda layer: setattr(layer.cell, "state_quant", torch.floor),
    "hook": lambda layer: layer.cell.register_forward_hook(lambda *_: None),
    "cell": lambda layer: setattr(
        layer, "cell", snntorch.Leaky(beta=0.5, reset_mechanism="zero", spike_grad=SURROGATES["atan"].gradient(2.0))
    ),
    "weights": lambda layer: layer.load_state_dict({**layer.state_dict(), "cell.beta": torch.tensor(0.5)}),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_cell_that_was_changed_runs_itself(change: str, stepped: list[bool]) -> None:
    layer = IF(STEPS)
    drive = torch.rand(STEPS * 2, 11)
    layer(drive)
    CHANGES[change](layer)
    layer(drive)
    assert stepped == [False, True]


def test_a_threshold_that_was_changed_counts(stepped: list[bool]) -> None:
    layer, drive = IF(STEPS), torch.full((STEPS, 1), 0.5)
    assert layer(drive).sum() == 1  # at the third step
    layer.cell.threshold.fill_(0.4)
    assert copy.deepcopy(layer)(drive).sum() == STEPS
    assert stepped == [False, False]
