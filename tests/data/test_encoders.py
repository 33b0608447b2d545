"""The encoders: shapes, what a spike stands for, and that nothing but the image decides it."""

import hashlib

import numpy as np
import numpy.typing as npt
import pytest
import torch
from snntorch import spikegen

from kdsnn.choices import ENCODERS
from kdsnn.data.encoders import delta, direct, encoded, latency, rate
from kdsnn.errors import UsageError

Images = npt.NDArray[np.uint8]
EVERY = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)


def some(count: int, *shape: int) -> Images:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("name", ENCODERS.names())
@pytest.mark.parametrize("timesteps", [1, 4, 33])
@pytest.mark.parametrize("shape", [(2, 5, 6), (7,)])
def test_every_encoder_makes_a_frame_a_step(name: str, timesteps: int, shape: tuple[int, ...]) -> None:
    made = ENCODERS[name](some(3, *shape), timesteps)
    assert made.shape == (3, timesteps, *shape)
    assert made.dtype == np.uint8
    if name != "direct":
        assert set(np.unique(made).tolist()) <= {0, 255}


@pytest.mark.parametrize("name", ENCODERS.names())
def test_an_image_has_the_same_spikes_in_every_batch_and_order(name: str) -> None:
    images = some(6, 1, 4, 4)
    whole = ENCODERS[name](images, 9)
    order = np.array([3, 0, 5])
    assert np.array_equal(ENCODERS[name](images[order], 9), whole[order])
    strided = np.asfortranarray(images[::-1])
    assert np.array_equal(ENCODERS[name](strided, 9), whole[::-1])


def test_direct_shows_the_image_at_every_step_and_copies_nothing() -> None:
    images = some(2, 1, 3, 3)
    made = direct(images, 4)
    assert all(np.array_equal(made[:, t], images) for t in range(4))
    assert np.shares_memory(made, images)
    assert encoded(images, "direct", 4) is images


def test_rate_fires_with_the_probability_of_the_pixel() -> None:
    shares = (rate(EVERY, 4000) == 255).mean(axis=1).reshape(-1)
    wanted = np.arange(256) / 255
    assert shares[0] == 0
    assert shares[255] == 1
    assert np.abs(shares - wanted).max() < 5 * 0.5 / np.sqrt(4000)  # five standard deviations, of the widest


def test_rate_draws_of_different_images_and_steps_are_independent() -> None:
    grey = np.full((2, 1, 16, 16), 128, np.uint8)
    grey[1, 0, 0, 0] = 129
    first, second = rate(grey, 40) == 255
    assert 0.4 < (first == second).mean() < 0.6
    assert 0.4 < (first[:-1] == first[1:]).mean() < 0.6


def test_rate_is_the_same_on_every_machine() -> None:
    """Recorded; the draws are those of Philox, whose stream numpy keeps."""
    spikes = rate(EVERY, 8)
    assert hashlib.sha256(spikes.tobytes()).hexdigest() == RECORDED


RECORDED = "3e96090fca240d4eb131347dbab776765c23f304b0fd46bb88c84c61403bc58e"


@pytest.mark.parametrize("timesteps", [1, 2, 8, 50])
def test_latency_is_the_linear_code_of_snntorch(timesteps: int) -> None:
    if timesteps == 1:  # snnTorch divides by T - 1
        assert np.array_equal(latency(EVERY, 1)[:, 0] == 255, EVERY > 0)
        return
    values = torch.tensor(EVERY).double() / 255
    wanted = spikegen.latency(values, num_steps=timesteps, normalize=True, linear=True, clip=True, threshold=0.5 / 255)
    assert np.array_equal(latency(EVERY, timesteps) == 255, wanted.numpy().swapaxes(0, 1) == 1)


@pytest.mark.parametrize("timesteps", [1, 4, 7, 255])
def test_delta_follows_the_pixel_from_black(timesteps: int) -> None:
    spikes = delta(EVERY, timesteps)
    for pixel, train in enumerate(spikes.reshape(timesteps, 256).T):
        told = 0.0
        for step in train:
            fires = timesteps * pixel - timesteps * told >= 255 - 1e-6
            assert (step == 255) == fires
            told += 255 / timesteps * fires


def test_a_wrong_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no encoder 'rates'") as caught:
        encoded(EVERY, "rates", 4)
    assert "rate" in (caught.value.hint or "")
