"""Data in time: which shapes are taken for that, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdsnn.data.datasets import Dataset, Split, load_dataset
from kdsnn.data.sources.load import load_calibration, load_data, load_images
from kdsnn.data.sources.save import save_data
from kdsnn.data.sources.source import Reading
from kdsnn.errors import InputError

RNG = np.random.default_rng(0)
Y = np.arange(20) % 2
FRAMES = RNG.integers(0, 256, (20, 5, 2, 6, 7), dtype=np.uint8)
SERIES = RNG.integers(0, 256, (20, 5, 12), dtype=np.uint8)


def test_five_axes_are_frames_in_time_and_need_no_word() -> None:
    made = load_data((FRAMES, Y))
    assert (made.steps, made.image_shape, made.frame_shape) == (5, (5, 2, 6, 7), (2, 6, 7))
    shown = load_images(FRAMES)
    assert (shown.steps, shown.image_shape) == (5, (5, 2, 6, 7))
    assert np.array_equal(shown.images, FRAMES)


def test_three_axes_are_images_unless_steps_are_declared() -> None:
    still = load_data((SERIES, Y))
    assert (still.steps, still.image_shape) == (None, (1, 5, 12))
    for made in (load_data({"x": SERIES, "y": Y, "steps": np.array(5)}), load_data((SERIES, Y), Reading(steps=5))):
        assert (made.steps, made.image_shape, made.frame_shape) == (5, (5, 12), (12,))
        joined = np.concatenate([made.test.images, made.train.images])
        assert {tuple(s.ravel()) for s in joined} == {tuple(s.ravel()) for s in SERIES}


def test_four_axes_with_declared_steps_are_grey_frames() -> None:
    grey = FRAMES[:, :, 0]
    assert load_data((grey, Y)).image_shape == (5, 6, 7)
    made = load_data((grey, Y), Reading(steps=5))
    assert made.image_shape == (5, 1, 6, 7)
    assert made.steps == 5


@pytest.mark.parametrize(
    ("columns", "reading", "message"),
    [
        ({"x": FRAMES, "steps": np.array(4)}, Reading(), "4 time steps are declared"),
        ({"x": FRAMES}, Reading(steps=4), "has 5 time steps, not 4"),
        ({"x": SERIES, "steps": np.array(5)}, Reading(steps=4), "has 5 time steps, not 4"),
        ({"x": SERIES}, Reading(steps=4), "4 time steps are declared"),
        ({"x": SERIES[:, 0]}, Reading(steps=12), "12 time steps are declared"),
        ({"x": SERIES, "steps": np.array(5.0)}, Reading(), "not one whole number"),
        ({"x": SERIES, "steps": np.array([5, 5])}, Reading(), "not one whole number"),
        ({"x": FRAMES[None]}, Reading(), "neither"),
        ({"x": FRAMES.transpose(0, 1, 3, 4, 2).repeat(2, 4)[:, :, :, :6]}, Reading(), r"looks like \(N, T, H, W, C\)"),
        ({"x": FRAMES}, Reading(encode="rate"), "in time already"),
        ({"x": FRAMES}, Reading(event_bits=8), "holds no events"),
        ({"x": FRAMES[:, :0]}, Reading(), "holds no images"),
    ],
)
def test_what_contradicts_itself_is_refused(columns: dict[str, Any], reading: Reading, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_data({**columns, "y": Y}, reading)
    with pytest.raises(InputError, match=message):
        load_images(columns, reading)


def test_splits_must_have_the_same_steps() -> None:
    columns = {"x_train": FRAMES, "y_train": Y, "x_test": FRAMES[:, :4], "y_test": Y}
    with pytest.raises(InputError, match="other time steps"):
        load_data(columns)


def test_a_data_set_of_three_axes_says_that_it_is_in_time() -> None:
    split = Split(SERIES, Y)
    with pytest.raises(InputError, match="train images are uint8"):
        Dataset("mine", split, split, ("a", "b"))
    with pytest.raises(InputError, match="have 5 time steps, not 6"):
        Dataset("mine", split, split, ("a", "b"), steps=6)
    assert Dataset("mine", split, split, ("a", "b"), steps=5).frame_shape == (12,)


@pytest.mark.parametrize(("x", "shape"), [(FRAMES, (5, 2, 6, 7)), (SERIES, (5, 12))])
def test_what_was_saved_is_read_as_the_same(tmp_path: Path, x: Any, shape: tuple[int, ...]) -> None:
    made = load_data((x, Y), Reading(steps=5))
    save_data(made, tmp_path / "data.npz")
    again = load_data(tmp_path / "data.npz")
    assert again.image_shape == shape
    assert again.sha256 == made.sha256


def test_still_images_are_shown_as_the_reading_says() -> None:
    made = load_data("digits", Reading(encode="rate"))
    assert made.steps is None
    shown = made.shown(made.test.images[:3], 6)
    assert shown.shape == (3, 6, 1, 8, 8)
    assert set(np.unique(shown).tolist()) == {0, 255}
    assert load_data("digits").shown(made.test.images[:3], 6) is not shown
    assert load_data("digits").encode == "direct"
    shown_set = load_calibration(made.test.images, Reading(encode="latency"))
    assert shown_set.shown(made.test.images[:2], 4).shape == (2, 4, 1, 8, 8)


def test_a_network_s_word_gives_way_to_what_data_say() -> None:
    """What is only how the training data were read: frames in time are taken as they are, still images stay still."""
    lenient = Reading(steps=5, encode="rate", event_bits=8, binding=False)
    assert load_images(FRAMES, lenient).encode == "direct"
    assert load_images(SERIES, lenient).steps == 5
    assert load_images(SERIES[:, :4], lenient).steps is None
    assert load_images(SERIES[:, 0], lenient).encode == "rate"
    assert load_images(load_dataset("digits"), lenient).steps is None
