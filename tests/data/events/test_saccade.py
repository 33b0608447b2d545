"""Synthetic saccades: one pixel by hand, whole images by a plain loop in fractions, and the same for everybody."""

import hashlib
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.data.events import saccade
from kdsnn.data.events.binning import Binning
from kdsnn.data.events.saccade import MOMENTS, SIZE, paths, recorded

Images = npt.NDArray[np.uint8]
RNG = np.random.default_rng(5)
SOME: Images = (RNG.integers(0, 256, (3, 1, 9, 7)) * (RNG.random((3, 1, 9, 7)) < 0.5)).astype(np.uint8)


def brightness(image: Images, down: Fraction, right: Fraction, row: int, column: int) -> Fraction:
    """What a pixel of the sensor sees: the four pixels of the image around the place, weighed by their distances."""
    y, x, total = row - 3 - down, column - 3 - right, Fraction(0)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            near = max(Fraction(0), 1 - abs(y - i)) * max(Fraction(0), 1 - abs(x - j))
            total += near * int(image[i, j])
    return total


def events_of(image: Images, way: npt.NDArray[np.int64], pixel: tuple[int, int]) -> list[int]:
    """How many events, and of which sign, a pixel sends at each moment."""
    seen = [brightness(image, Fraction(int(a), 16), Fraction(int(b), 16), *pixel) for a, b in way]
    last, found = seen[0], []
    for now in seen[1:]:
        count = 0
        while abs(now - last) >= 50:
            sign = 1 if now > last else -1
            last += 50 * sign
            count += sign
        found.append(count)
    return found


def test_paths_are_three_sides_of_a_triangle_and_end_where_they_began() -> None:
    way = paths()
    assert way.shape == (64, MOMENTS + 1, 2)
    assert not way[:, 0].any()
    assert not way[:, -1].any()
    assert len({w.tobytes() for w in way}) == 64
    assert np.abs(way).max() < 16 * 4.5
    steps = np.diff(way, axis=1)
    assert np.abs(steps).max() < 16  # a moment moves it by less than a pixel


def test_pixels_send_what_a_plain_loop_finds() -> None:
    made = recorded(SOME, Binning(MOMENTS, "time", 8))
    for image, frames in zip(SOME, made, strict=True):
        way = paths()[hashlib.sha256(image.tobytes()).digest()[0] % 64]
        for pixel in [(3, 3), (6, 5), (8, 9), (2, 4), (11, 8), (20, 20)]:
            wanted = events_of(image[0], way, pixel)
            found = frames[:, :, pixel[0], pixel[1]].astype(int)
            assert (found[:, 1] - found[:, 0]).tolist() == wanted


def test_what_does_not_move_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saccade, "paths", lambda: np.zeros((64, MOMENTS + 1, 2), np.int64))
    assert not recorded(SOME, Binning(4)).any()


def test_an_edge_that_moves_right_brightens_before_it_and_darkens_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    way = np.stack([np.zeros(MOMENTS + 1, np.int64), np.arange(MOMENTS + 1)], axis=1)
    monkeypatch.setattr(saccade, "paths", lambda: np.repeat(way[None], 64, axis=0))
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[0, 0, 10, 10] = 255
    counts = recorded(image, Binning(1, "time", 8))[0, 0]
    assert counts[1, 13, 14] == counts[0, 13, 13] == 5  # 255 over 50
    assert not counts[:, :13].any()
    assert not counts[:, 14:].any()


@pytest.mark.parametrize("by", ["time", "events"])
def test_an_image_makes_the_same_events_in_every_batch(by: str) -> None:
    binning = Binning(5, by, 8)  # type: ignore[arg-type]
    whole = recorded(SOME, binning)
    assert np.array_equal(recorded(SOME[::-1][:2], binning), whole[::-1][:2])
    fine = recorded(SOME, Binning(MOMENTS, "time", 8))
    assert whole.sum() == fine.sum()


def test_spikes_are_where_there_were_events() -> None:
    assert np.array_equal(recorded(SOME, Binning(5)), 255 * (recorded(SOME, Binning(5, "time", 8)) > 0))


def test_the_data_set_is_the_same_everywhere() -> None:
    """Recorded: whole-number arithmetic alone makes it."""
    made = load_dataset("saccade-mnist5k", binning=Binning(10))
    assert made.image_shape == (10, 2, SIZE, SIZE)
    assert made.steps == 10
    assert hashlib.sha256(made.test.images[:100].tobytes()).hexdigest() == RECORDED
    still = load_dataset("mnist5k")
    assert np.array_equal(made.test.labels, still.test.labels)


RECORDED = "5cff0196da274e9d08def0b83eb0a1a37001548986679897291ca4cfdced998a"
