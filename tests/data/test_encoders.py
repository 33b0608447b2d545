"""The encoders: shapes, and what a spike stands for."""

import pytest
import torch

from kdsnn.data.encoders import ENCODERS, direct, latency, rate


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("timesteps", [1, 4])
def test_every_encoder_puts_time_first(name: str, timesteps: int) -> None:
    encoded = ENCODERS[name](torch.rand(3, 2, 5, 6), timesteps)
    assert encoded.shape == (timesteps, 3, 2, 5, 6)
    if name != "direct":
        assert set(encoded.unique().tolist()) <= {0.0, 1.0}


def test_direct_repeats_the_image() -> None:
    images = torch.rand(2, 1, 3, 3)
    assert all(torch.equal(step, images) for step in direct(images, 4))


def test_rate_fires_with_the_probability_of_the_pixel() -> None:
    torch.manual_seed(0)
    images = torch.tensor([[0.0, 0.25, 1.0]])
    shares = rate(images, 4000).mean(dim=0)[0]
    assert shares[0] == 0
    assert shares[2] == 1
    assert abs(float(shares[1]) - 0.25) < 0.035  # five standard deviations of 4,000 draws


def test_latency_fires_once_the_earlier_the_brighter_and_never_for_black() -> None:
    spikes = latency(torch.tensor([[1.0, 0.7, 0.4, 0.0]]), 8)[:, 0]
    assert spikes.sum(dim=0).tolist() == [1, 1, 1, 0]
    first = spikes[:, :3].argmax(dim=0).tolist()
    assert first == sorted(first)
    assert len(set(first)) == 3
    assert first[0] == 0
