"""Events become frames: counted by hand, and by a plain loop."""

import numpy as np
import pytest

from kdsnn.data.events.binning import Binning, to_frames
from kdsnn.errors import InputError

X, Y = np.array([0, 1, 2, 2, 2]), np.array([0, 0, 1, 1, 1])
T, P = np.array([100, 110, 150, 180, 200]), np.array([1, 0, 1, 1, 1])
SIZE = (2, 3)


def test_steps_of_equal_time() -> None:
    frames = to_frames(X, Y, T, P, SIZE, Binning(2, "time", 8))
    assert frames.shape == (2, 2, 2, 3)
    assert frames.dtype == np.uint8
    wanted = np.zeros((2, 2, 2, 3), np.uint8)
    wanted[0, 1, 0, 0] = wanted[0, 0, 0, 1] = 1
    wanted[1, 1, 1, 2] = 3  # at 150, half of the way, the second step begins; the last event is in it
    assert np.array_equal(frames, wanted)


def test_one_bit_is_a_spike_wherever_there_was_an_event() -> None:
    frames = to_frames(X, Y, T, P, SIZE, Binning(2, "time", 1))
    assert np.array_equal(frames, 255 * (to_frames(X, Y, T, P, SIZE, Binning(2, "time", 8)) > 0))


def test_steps_of_equally_many_events_in_the_order_of_time() -> None:
    order = np.array([4, 2, 0, 3, 1])
    frames = to_frames(X[order], Y[order], T[order], P[order], SIZE, Binning(5, "events", 8))
    assert [int(frame.sum()) for frame in frames] == [1] * 5
    assert [int(frame[0].sum()) for frame in frames] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("by", ["time", "events"])
@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("steps", [1, 3, 7])
def test_frames_are_those_of_a_plain_loop(by: str, bits: int, steps: int) -> None:
    rng = np.random.default_rng(steps)
    x, y, p = rng.integers(0, 5, 3000), rng.integers(0, 4, 3000), rng.choice([-1, 1], 3000)
    t = rng.permutation(3000) * 17 + 5
    wanted = np.zeros((steps, 2, 4, 5), np.int64)
    by_time = sorted(range(3000), key=lambda i: t[i])
    for rank, i in enumerate(by_time):
        span = 2999 * 17
        step = rank * steps // 3000 if by == "events" else min((t[i] - 5) * steps // span, steps - 1)
        wanted[step, int(p[i] > 0), y[i], x[i]] += 1
    wanted = np.where(wanted > 0, 255, 0) if bits == 1 else np.minimum(wanted, 255)
    binning = Binning(steps, by, bits)  # type: ignore[arg-type]
    assert np.array_equal(to_frames(x, y, t, p, (4, 5), binning), wanted)


def test_counts_saturate() -> None:
    many = np.zeros(300, np.int64)
    frames = to_frames(many, many, np.arange(300), many, (1, 1), Binning(1, "time", 8))
    assert frames[0, :, 0, 0].tolist() == [255, 0]


def test_no_events_and_one_moment() -> None:
    none = np.array([], np.int64)
    assert not to_frames(none, none, none, none, SIZE, Binning(3)).any()
    at_once = to_frames(X, Y, np.full(5, 7), P, SIZE, Binning(3, "time", 8))
    assert at_once[0].sum() == 5


def test_times_may_be_fractions() -> None:  # these are exact
    frames = to_frames(X, Y, T / 1024.0, P, SIZE, Binning(2, "time", 8))
    assert np.array_equal(frames, to_frames(X, Y, T, P, SIZE, Binning(2, "time", 8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": X + 1}, "lies outside the 2 x 3 pixels: x is 3\\n"),
        ({"x": X - 1}, "lies outside the 2 x 3 pixels: x is -1\\n"),
        ({"y": Y - 1}, "lies outside the 2 x 3 pixels: y is -1\\n"),
        ({"x": X - 1, "y": Y + 1}, "lies outside the 2 x 3 pixels: x is -1, y is 2\\n"),
        ({"p": P + 1}, "a polarity is neither 0 nor 1"),
        ({"t": T * np.nan}, "is no number"),
        ({"t": T[:4]}, "have 5, 5, 4 and 5 values"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_frames(**{"x": X, "y": Y, "t": T, "p": P, **change}, size=SIZE, binning=Binning(2))
