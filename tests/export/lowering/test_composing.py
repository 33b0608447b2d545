"""Two linear maps in a row are one: its matrix is the product of theirs, by enumeration of synapses."""

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.errors import LoweringError
from kdsnn.export.lowering import composing, unrolling
from kdsnn.export.lowering.composing import composed
from kdsnn.export.lowering.unrolling import diagonal, grouped_alike, undilated, unrolled
from kdsnn.network import Conv2d, Dense
from tests.oracles import matrix


def drawn(draw: Any, rng: np.random.Generator, channels: int) -> Conv2d:
    """A convolution of so many channels, of any geometry."""
    groups = draw(st.sampled_from([g for g in (1, 2, 3, 6) if channels % g == 0]))
    c_out = groups * draw(st.integers(1, 2))
    kernel, stride, padding, dilation = (
        (draw(st.integers(least, most)), draw(st.integers(least, most)))
        for least, most in ((1, 3), (1, 3), (0, 2), (1, 2))
    )
    weight = rng.normal(size=(c_out, channels // groups, *kernel))
    return Conv2d(weight, stride, padding, dilation, groups)


def dense_of(op: Any, source: tuple[int, ...]) -> np.ndarray:
    return matrix(op, source, prod(op.output_shape(source))).toarray()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_map_computes_what_the_two_do(data: st.DataObject) -> None:
    rng, source = np.random.default_rng(0), (data.draw(st.sampled_from([1, 2, 4, 6])), 7, 6)
    first = drawn(data.draw, rng, source[0])
    try:
        middle = first.output_shape(source)
        second = drawn(data.draw, rng, middle[0])
        target = second.output_shape(middle)
    except ValueError:
        return
    wanted = dense_of(second, middle) @ dense_of(first, source)
    for one in (first, unrolled(first, source)):
        both = composed(one, source, second, middle)
        assert both.output_shape(source) == (target if isinstance(both, Conv2d) else (prod(target),))
        np.testing.assert_allclose(dense_of(both, source), wanted, atol=1e-12)
    if second.padding == (0, 0):
        assert isinstance(composed(first, source, second, middle), Conv2d)
    last = Dense(rng.normal(size=(3, prod(middle))))
    for one in (first, unrolled(first, source)):
        both = composed(one, source, last, middle)
        np.testing.assert_allclose(both.weight, last.weight @ dense_of(first, source), atol=1e-12)


def conv(*shape: int, **options: Any) -> Conv2d:
    return Conv2d(np.random.default_rng(1).normal(size=shape), **options)


STAY_CONVOLUTIONS = {
    "pointwise, then padded depthwise": (
        *(conv(4, 2, 1, 1), conv(4, 1, 3, 3, padding=(1, 1), groups=4), (2, 5, 5)),
        1,
    ),
    "padded depthwise, then pointwise": (
        *(conv(2, 1, 3, 3, padding=(1, 1), groups=2), conv(5, 2, 1, 1), (2, 5, 5)),
        1,
    ),
    "groups of groups": (conv(4, 1, 2, 2, groups=4), conv(4, 2, 2, 2, groups=2), (4, 5, 5), 2),
    "padded, after a pool that divides": (
        *(conv(2, 1, 2, 2, stride=(2, 2), groups=2), conv(3, 2, 3, 3, padding=(1, 1)), (2, 6, 4)),
        1,
    ),
    "padded, where the image is out of reach": (
        *(conv(1, 1, 1, 1), conv(1, 1, 3, 3, padding=(3, 3)), (1, 5, 5)),
        1,
    ),
}


@pytest.mark.parametrize("case", STAY_CONVOLUTIONS)
def test_what_can_stay_a_convolution_does(case: str) -> None:
    first, second, source, groups = STAY_CONVOLUTIONS[case]
    both = composed(first, source, second, first.output_shape(source))
    assert isinstance(both, Conv2d)
    assert both.groups == groups


def test_what_reaches_into_the_image_is_a_matrix() -> None:
    padded = conv(2, 2, 3, 3, padding=(1, 1))
    assert isinstance(composed(padded, (2, 5, 5), padded, (2, 5, 5)), Dense)
    pool = conv(2, 1, 2, 2, stride=(2, 2), groups=2)
    assert isinstance(composed(pool, (2, 5, 5), padded, (2, 2, 2)), Dense)


def test_a_matrix_has_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    padded, pointwise = conv(2, 2, 3, 3, padding=(1, 1)), conv(2, 2, 1, 1)
    for module in (unrolling, composing):
        monkeypatch.setattr(module, "MAX_WEIGHTS", 2499)
    with pytest.raises(LoweringError, match="no convolution, and it would take a matrix of 2,500 weights, more than"):
        composed(padded, (2, 5, 5), padded, (2, 5, 5))
    assert isinstance(composed(padded, (2, 5, 5), pointwise, (2, 5, 5)), Conv2d)
    with pytest.raises(LoweringError, match="a matrix of 2,500 weights"):
        composed(padded, (2, 5, 5), Dense(np.ones((50, 50))), (2, 5, 5))


def test_a_kernel_that_is_larger_than_the_matrix_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    pointwise, wide = conv(1, 1, 1, 1), conv(1, 1, 2, 2, dilation=(9, 9), padding=(4, 4))
    assert isinstance(composed(pointwise, (1, 3, 3), wide, (1, 3, 3)), Conv2d)
    for module in (unrolling, composing):
        monkeypatch.setattr(module, "MAX_WEIGHTS", 90)
    both = composed(pointwise, (1, 3, 3), wide, (1, 3, 3))
    assert isinstance(both, Dense)
    assert both.weight.shape == (4, 9)


WIDE = conv(2, 1, 2, 3, groups=2, dilation=(2, 1))
MADE = {  # what is written out, and how many weights that takes
    "a diagonal": (lambda: diagonal(np.arange(5.0)), 25),
    "the matrix of a convolution": (lambda: unrolled(WIDE, (2, 4, 4)), 2 * 2 * 2 * 2 * 4 * 4),
    "a kernel without its groups": (lambda: grouped_alike(WIDE, conv(1, 2, 1, 1))[0], 2 * 2 * 2 * 3),
    "a kernel without its dilation": (lambda: undilated(WIDE), 2 * 1 * 3 * 3),
    "a matrix, then a convolution": (
        lambda: composed(Dense(np.ones((32, 7))), (7,), WIDE, (2, 4, 4)),
        7 * 2 * 2 * 2,
    ),
    "a convolution, then a matrix": (
        lambda: composed(WIDE, (2, 4, 4), Dense(np.ones((3, 8))), (2, 2, 2)),
        3 * 2 * 4 * 4,
    ),
    "two matrices": (lambda: composed(Dense(np.ones((5, 4))), (4,), Dense(np.ones((3, 5))), (5,)), 3 * 4),
}


@pytest.mark.parametrize("case", MADE)
def test_what_is_made_is_as_large_as_the_limit_and_no_larger(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, weights = MADE[case]
    monkeypatch.setattr(unrolling, "MAX_WEIGHTS", weights)
    made = make()
    assert made.weight.size == weights
    monkeypatch.setattr(unrolling, "MAX_WEIGHTS", weights - 1)
    with pytest.raises(LoweringError, match=rf"take a \w+ of {weights:,} weights, more than {weights - 1:,}"):
        make()


def test_the_factors_of_a_diagonal_stand_on_it() -> None:
    np.testing.assert_array_equal(diagonal(np.array([[2.0, 3.0]])).weight, [[2, 0], [0, 3]])
