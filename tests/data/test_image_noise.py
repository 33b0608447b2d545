"""Noise on images: exact statistics, levels, seeds, and photographs of which nothing leaks from training to test."""

import math
from pathlib import Path

import numpy as np
import pytest

from kdsnn.choices import DATASETS, NOISES, VARIANTS, VARIED
from kdsnn.data import image_noise as noise
from kdsnn.data.datasets import load_dataset
from kdsnn.data.image_noise import ImageNoise, rotated
from kdsnn.data.photographs import MIN_DEVIATION, Part, _places, patches, regions
from kdsnn.errors import InputError

SHAPE = (60, 1, 28, 28)


def grey(value: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.full(shape, value, np.uint8)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_dataset("mnist5k").test.images[:60]


@pytest.mark.parametrize("name", [name for name in NOISES if isinstance(NOISES[name], ImageNoise)])
def test_every_noise_is_seeded_pure_and_nothing_at_level_0(name: str, digits: np.ndarray) -> None:
    make, before = NOISES[name].add, digits.copy()
    first, again, other = make(digits, 0.5, 1, "test"), make(digits, 0.5, 1, "test"), make(digits, 0.5, 2, "test")
    assert first.dtype == np.uint8
    assert first.shape == digits.shape
    assert first.flags.writeable
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(make(digits, 0.0, 1, "test"), before)
    assert np.array_equal(digits, before)


@pytest.mark.parametrize("name", ["rotate", "back-image", "rot-back-image"])
def test_all_frames_of_an_image_are_turned_alike_and_lie_over_one_photograph(name: str, digits: np.ndarray) -> None:
    frames = np.stack([digits, digits // 2, digits], axis=1)
    before = frames.copy()
    noisy = NOISES[name].add(frames, 0.5, 1, "test")
    assert noisy.shape == frames.shape
    assert np.array_equal(frames, before)
    for t in range(3):
        assert np.array_equal(noisy[:, t], NOISES[name].add(frames[:, t].copy(), 0.5, 1, "test"))


@pytest.mark.parametrize("name", ["gaussian", "back-rand"])
def test_pixels_are_drawn_anew_for_each_frame(name: str) -> None:
    noisy = NOISES[name].add(grey(100, (4, 3, 1, 9, 9)), 0.9, 1, "test")
    assert all((noisy[:, 0] != noisy[:, t]).any() for t in (1, 2))


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.05])
def test_gaussian_has_the_deviation_it_says(sigma: float) -> None:
    noisy = noise.gaussian(grey(128, (400, 1, 28, 28)), sigma, seed=3).astype(float)
    count = noisy.size
    wanted = np.sqrt((255 * sigma) ** 2 + 1 / 12)  # rounding adds a twelfth of a grey level's square
    assert abs(noisy.mean() - 128) < 5 * wanted / np.sqrt(count)  # five standard errors
    assert abs(noisy.std() - wanted) < 5 * wanted / np.sqrt(2 * count)
    level = round(2 * 255 * sigma)
    share = math.erfc((level + 0.5) / (255 * sigma * math.sqrt(2)))  # of normal deviates that round to more
    assert abs((np.abs(noisy - 128) > level).mean() - share) < 5 * np.sqrt(share / count)


def test_gaussian_clips_and_does_not_wrap() -> None:
    assert (noise.gaussian(grey(0), 0.05, seed=0) < 128).all()
    assert (noise.gaussian(grey(255), 0.05, seed=0) > 128).all()
    assert 0.4 < (noise.gaussian(grey(0), 0.05, seed=0) == 0).mean() < 0.6


def test_levels_of_one_seed_scale_the_same_draws() -> None:
    weak, strong = (noise.gaussian(grey(128), s, seed=5).astype(int) - 128 for s in (0.04, 0.08))
    assert np.abs(strong - 2 * weak).max() <= 2  # each is rounded


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (3, 3, 8, 8), (2, 1, 7, 7), (2, 1, 5, 5)])
def test_quarter_turns_are_exact(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for quarters in range(4):
        turned = rotated(images, np.full(len(images), quarters * np.pi / 2))
        assert np.array_equal(turned, np.rot90(images, quarters, axes=(2, 3)))


def test_a_rectangle_is_turned_without_distortion() -> None:
    images = np.zeros((1, 1, 9, 15), np.uint8)
    images[0, 0, 4, 5:10] = 200  # a bar of five in the middle
    turned = rotated(images, np.array([np.pi / 2]))[0, 0]
    assert np.argwhere(turned).tolist() == [[row, 7] for row in range(2, 7)]
    assert set(turned[2:7, 7]) == {200}


def test_angles_are_uniform_over_the_whole_turn() -> None:
    images = np.zeros((4000, 1, 15, 15), np.uint8)
    images[:, 0, 6:9, 11:14] = 255  # a blob to the right
    turned = noise.rotate(images, 1.0, seed=2)[:, 0].astype(float)
    rows, columns = np.mgrid[:15, :15] - 7
    mass = turned.sum(axis=(1, 2))
    angles = np.arctan2(-(turned * rows).sum(axis=(1, 2)) / mass, (turned * columns).sum(axis=(1, 2)) / mass)
    shares = np.histogram(angles, bins=8, range=(-np.pi, np.pi))[0] / len(angles)
    assert np.abs(shares - 1 / 8).max() < 5 * np.sqrt(1 / 8 * 7 / 8 / len(angles))  # five standard errors
    quarter = noise.rotate(images, 0.25, seed=2)[:, 0].astype(float)
    assert ((quarter * columns).sum(axis=(1, 2)) > -1e-9 * mass).all()  # no further than a quarter turn
    assert ((quarter * -rows).sum(axis=(1, 2)) > -0.1 * mass).all()  # and anticlockwise, but for rounding


def test_a_random_background_is_uniform_and_behind_the_strokes(digits: np.ndarray) -> None:
    background = noise.back_rand(grey(0, (500, 1, 28, 28)), 1.0, seed=4)
    counts = np.bincount(background.ravel(), minlength=256)
    chi_square = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert chi_square < 255 + 5 * np.sqrt(2 * 255)  # five deviations of a chi-square of 255 degrees of freedom
    composed = noise.back_rand(digits, 1.0, seed=4)
    assert np.array_equal(composed, np.maximum(digits, noise.back_rand(np.zeros_like(digits), 1.0, seed=4)))
    assert noise.back_rand(digits * 0, 0.5, seed=4).max() == 128  # rint(127.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_parts_of_the_photographs_are_disjoint_and_whole(channels: int) -> None:
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    for number, photograph in enumerate(photographs):
        train, test = regions("train", channels)[number], regions("test", channels)[number]
        assert train.shape[1] + test.shape[1] == len(photograph)
        if channels == 3:
            assert np.array_equal(np.moveaxis(np.concatenate([train, test], axis=1), 0, -1), photograph)
        assert train.shape[1] == round(len(photograph) * 2 / 3)


@pytest.mark.parametrize("part", ["train", "test"])
def test_patches_are_cut_from_their_part_and_have_texture(part: str) -> None:
    cut = patches(200, (1, 28, 28), part, np.random.default_rng(0))  # type: ignore[arg-type]
    assert cut.std(axis=(1, 2, 3)).min() >= MIN_DEVIATION
    places = set()
    for (region,) in regions(part):  # type: ignore[arg-type]
        windows = np.lib.stride_tricks.sliding_window_view(region, 28, axis=1)
        places |= {window.tobytes() for window in np.ascontiguousarray(windows.reshape(-1, 28))}
    assert all(row.tobytes() in places for row in cut[:, 0, 0])
    other = "test" if part == "train" else "train"
    whole = {np.ascontiguousarray(p).tobytes() for p in cut}
    assert not whole & {p.tobytes() for p in patches(2000, (1, 28, 28), other, np.random.default_rng(0))}  # type: ignore[arg-type]


def test_colour_images_get_colour_patches_and_others_are_refused() -> None:
    cut = patches(50, (3, 16, 16), "test", np.random.default_rng(1))
    assert cut.shape == (50, 3, 16, 16)
    assert (cut[:, 0] != cut[:, 2]).mean() > 0.5
    with pytest.raises(InputError, match="1 or 3 channels"):
        patches(1, (2, 8, 8), "test", np.random.default_rng(1))
    with pytest.raises(InputError, match="no patch of 300 x 300"):
        patches(1, (1, 300, 300), "test", np.random.default_rng(1))
    with pytest.raises(InputError, match="texture"):
        patches(1, (1, 1, 1), "test", np.random.default_rng(1))


def test_a_photograph_lies_behind_the_turned_digit(digits: np.ndarray) -> None:
    both, back = (make(digits, 1.0, 6, "test") for make in (noise.rot_back_image, noise.back_image))
    alone = noise.rotate(digits, 1.0, seed=6)
    assert (both >= alone).all()
    assert np.array_equal(np.maximum(both, alone), both)
    assert (back >= digits).all()
    assert not np.array_equal(back, noise.back_image(digits, 1.0, 6, "train"))


def test_variants_are_data_sets_by_composition() -> None:
    names = {f"{base}-{variant}" for base in VARIED for variant in VARIANTS}
    assert len(names) == 12
    assert names < set(DATASETS)
    plain = load_dataset("mnist5k")
    for variant in VARIANTS:
        name = f"mnist5k-{variant}"
        dataset = load_dataset(name)
        assert dataset.name == name
        assert dataset.labels == plain.labels
        for split, clean in ((dataset.train, plain.train), (dataset.test, plain.test)):
            assert split.images.shape == clean.images.shape
            assert np.array_equal(split.labels, clean.labels)
            assert (split.images != clean.images).any(axis=(1, 2, 3)).mean() > 0.99


def test_a_variant_is_always_the_same() -> None:
    first, second = (DATASETS["mnist5k-rot-back-image"]("mnist5k-rot-back-image", Path("data")) for _ in range(2))
    assert np.array_equal(first.train.images, second.train.images)
    assert np.array_equal(first.test.images, second.test.images)


@pytest.mark.parametrize("part", ["train", "test"])
def test_nobody_can_write_to_the_photographs_that_others_are_given_too(part: Part) -> None:
    for cached in (*regions(part), *regions(part, 3), _places(part, 28, 28)):
        with pytest.raises(ValueError, match="read-only"):
            cached[...] = 0
