"""The images that a module is tried on: of all densities and contrasts, with one black and one white."""

import numpy as np

from kdsnn.export.lowering.module_agreement import trial_images


def test_noise_of_all_densities_and_contrasts_and_two_plain_images() -> None:
    made = trial_images((1, 40, 40), 402)
    assert (made.shape, made.dtype) == ((402, 1, 40, 40), np.uint8)
    assert (made[-2] == 0).all()
    assert (made[-1] == 255).all()
    noise = made[:-2].reshape(400, -1)
    density, contrast = (noise > 0).mean(axis=1), noise.max(axis=1) / 255
    for share, least in ((density, 0.1), (contrast, 0.2)):
        assert least - 0.05 < share.min() < least + 0.05
        assert 0.95 < share.max() <= 1
        below = (share < (1 + least) / 2).mean()  # of a uniform distribution half
        assert 0.4 < below < 0.6


def test_a_seed_is_one_set_of_images() -> None:
    assert np.array_equal(trial_images((5,), 4, seed=3), trial_images((5,), 4, seed=3))
    assert not np.array_equal(trial_images((5,), 4, seed=3), trial_images((5,), 4, seed=4))
    assert trial_images((5,)).shape == (32, 5)
    assert trial_images((2, 3), 1).tolist() == [[[255] * 3] * 2]
