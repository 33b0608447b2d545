"""The IF neuron by hand and against a numpy loop; time folded into the batch; no state between calls."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from kdsnn.choices import SURROGATES
from kdsnn.models.neurons import IF, Normalize, Repeat

FloatArray = npt.NDArray[np.float32]


def by_hand(drive: FloatArray, threshold: float) -> FloatArray:
    """Spikes `(T, ...)`: H = V + X; S = H > threshold; V = 0 where it fired."""
    potential = np.zeros_like(drive[0])
    spikes = np.zeros_like(drive)
    for step, x in enumerate(drive):
        potential = potential + x
        spikes[step] = potential > threshold
        potential = np.where(spikes[step] > 0, 0, potential).astype(np.float32)
    return spikes


def test_an_example_worked_out_by_hand() -> None:
    drive = torch.tensor(
        [
            # integrates  at threshold  over it    negative  resets to 0, not by 1
            [0.5, 1.0, 1.5, -2.0, 2.75],
            [0.25, 0.0, 0.0, 1.5, 0.5],
            [0.5, 0.25, 1.0, 1.0, 0.25],
            [0.5, 1.0, 0.25, 1.0, 0.5],
        ]
    )
    fired = torch.tensor(
        [
            [0, 0, 1, 0, 1],
            [0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [0, 0, 1, 1, 1],
        ]
    )
    assert torch.equal(IF(4)(drive), fired.float())


@pytest.mark.parametrize("timesteps", [1, 2, 4, 7])
@pytest.mark.parametrize("threshold", [1.0, 0.375])
def test_equal_to_a_numpy_loop(timesteps: int, threshold: float) -> None:
    rng = np.random.default_rng(timesteps)
    drive = rng.normal(0.3, 0.8, (timesteps, 3, 2, 4, 5)).astype(np.float32)
    spikes = IF(timesteps, threshold=threshold)(torch.from_numpy(drive).flatten(0, 1))
    expected = by_hand(drive, threshold)
    assert 0 < expected.mean() < 1
    assert np.array_equal(spikes.numpy(), expected.reshape(-1, 2, 4, 5))


def test_no_state_is_kept_between_calls() -> None:
    layer = IF(2)
    drive = torch.full((2, 3), 0.4)  # 0.8 after two steps: a third would fire
    assert layer(drive).sum() == 0
    assert layer(drive).sum() == 0
    assert layer(torch.rand(2 * 5, 7)).shape == (10, 7)  # another batch, another shape
    assert layer.cell.mem.numel() == 0
    assert dict(layer.state_dict()).keys() == IF(2).state_dict().keys()


def test_images_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(1)
    layer, drive = IF(4), torch.rand(4, 6, 8)
    together = layer(drive.flatten(0, 1)).reshape(4, 6, 8)
    for image in range(6):
        assert torch.equal(layer(drive[:, image]), together[:, image])


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_gradients_flow_through_time(name: str) -> None:
    drive = torch.full((3, 2), 0.3, requires_grad=True)
    IF(3, surrogate=name, slope=2.0)(drive)[-1].sum().backward()
    assert drive.grad is not None
    assert (drive.grad > 0).all()  # the last step's spike hangs on every step's drive
    assert torch.isfinite(drive.grad).all()


def test_the_atan_surrogate_has_its_known_slope() -> None:
    drive = torch.tensor([[0.4]], requires_grad=True)
    IF(1, surrogate="atan", slope=2.0)(drive).sum().backward()
    distance = 0.4 - 1.0
    expected = 2.0 / 2 / (1 + (np.pi / 2 * 2.0 * distance) ** 2)  # Fang et al. 2021, as snnTorch scales it
    assert drive.grad is not None
    assert float(drive.grad) == pytest.approx(expected, rel=1e-5)  # float32


def test_repeat_puts_all_images_of_a_step_together() -> None:
    images = torch.arange(3.0)[:, None]
    assert Repeat(2)(images)[:, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_normalize_works_channel_by_channel() -> None:
    layer = Normalize([0.5, 0.25], [0.5, 2.0])
    images = torch.ones(1, 2, 1, 1)
    assert layer(images).flatten().tolist() == [1.0, 0.375]
    assert set(layer.state_dict()) == {"mean", "std"}
    assert not list(layer.parameters())


def test_a_spike_takes_the_threshold_where_the_reset_is_by_subtraction() -> None:
    layer = IF(6, threshold=0.5, reset="subtract")
    drive = 0.25 * torch.randint(-3, 8, (6, 40), generator=torch.Generator().manual_seed(0)).float()
    spikes, v = [], torch.zeros(40)
    for step in drive:
        v = v + step
        spikes.append((v > 0.5).float())
        v = v - 0.5 * spikes[-1]
    made = layer(drive.reshape(240, 1)).reshape(6, 40)
    assert torch.equal(made, torch.stack(spikes))
    assert not torch.equal(made, IF(6, threshold=0.5)(drive.reshape(240, 1)).reshape(6, 40))
