"""The products of the torch target, one projection at a time, against a matrix of all synapses."""

from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdsnn.network import Conv2d, Dense, Projection
from kdsnn.targets.gpu import exact_products
from kdsnn.targets.gpu.events import events_of
from kdsnn.targets.gpu.exact_products import Arithmetic, any_of, int8_is_exact, sums_of
from kdsnn.targets.gpu.reused_memory import Scratch
from tests.oracles import fan_out, matrix

CPU = torch.device("cpu")
IMAGES = 3
ARITHMETICS = ["float32"] + ["int8"] * int8_is_exact()
KINDS = ["of a vector", "of an image", "convolution", "depthwise", "pool"]
sides = st.tuples(st.integers(1, 3), st.integers(1, 3))


def last(values: np.ndarray) -> np.ndarray:
    """`(B, C, H, W)` as `(B, H, W, C)`; vectors as they are."""
    return np.ascontiguousarray(np.moveaxis(values, 1, -1))


def messages_of(rng: np.random.Generator, source: tuple[int, ...], bits: int) -> np.ndarray:
    """Images of messages, the largest among them."""
    made = rng.integers(0, 2**bits, (IMAGES, *source)).astype(np.uint8)
    made[0] = 2**bits - 1
    return made


@st.composite
def maps(draw: Any, kind: str) -> tuple[Any, tuple[int, ...]]:
    """A linear map of small integers, and the shape of its source."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    if kind == "of a vector":
        source: tuple[int, ...] = (draw(st.integers(1, 20)),)
    else:
        source = (draw(st.sampled_from([1, 2, 4, 8])), draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    if kind in ("of a vector", "of an image"):
        return Dense(rng.integers(-128, 128, (draw(st.integers(1, 9)), prod(source)))), source
    kernel, stride, dilation = draw(sides), draw(sides), draw(sides)
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    dilation = tuple(d if d * (k - 1) < 3 else 1 for d, k in zip(dilation, kernel, strict=True))
    if kind == "pool":
        weight, groups = np.ones((source[0], 1, *kernel), np.int64), source[0]
    elif kind == "depthwise":
        weight, groups = rng.integers(-128, 128, (source[0], 1, *kernel)), source[0]
    else:
        groups = draw(st.sampled_from([g for g in (1, 2, 4) if source[0] % g == 0]))
        c_out = groups * draw(st.integers(1, 3))
        weight = rng.integers(-128, 128, (c_out, source[0] // groups, *kernel))
    return Conv2d(weight, stride, padding, dilation, groups), source


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([1, 1, 4, 7, 8, 8]), st.integers(0, 3), st.sampled_from([1, 100, 2**22]))
def test_sums_are_those_of_every_synapse(
    arithmetic: str, kind: str, data: st.DataObject, bits: int, exponent: int, rows_at_once: int
) -> None:
    """Of messages of any width, by any map, in one product or in many, one after the other in the same memory."""
    op, source = data.draw(maps(kind))
    target = op.output_shape(source)
    synapses = matrix(op, source, prod(target))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_products, "CACHED_ROWS", rows_at_once)
        sums = sums_of(
            Projection("a", "b", op, exponent), source, bits, Arithmetic(Scratch(CPU), int8=arithmetic == "int8")
        )
        for seed in range(2):
            messages = messages_of(np.random.default_rng(seed), source, bits)
            wanted = (synapses @ messages.reshape(IMAGES, -1).T.astype(np.int64)).T * 64 * 2**exponent
            given_ = torch.from_numpy(last(messages) if len(source) == 3 else messages)
            found = sums.weighted(given_.bool() if bits == 1 else given_)
            assert found.dtype == torch.int32
            if sums.missing is not None:
                found = found + sums.missing
            wanted = wanted.reshape(IMAGES, *target)
            np.testing.assert_array_equal(found * sums.scale, last(wanted) if len(target) == 3 else wanted)


@pytest.mark.parametrize(
    ("bits", "kernel"),
    [(1, (15, 17)), (1, (16, 16)), (2, (5, 17)), (2, (2, 43)), (4, (1, 17)), (4, (2, 9)), (7, (1, 2)), (8, (1, 2))],
)
def test_a_window_whose_sum_just_fits_a_byte_and_one_whose_does_not(bits: int, kernel: tuple[int, int]) -> None:
    """Windows of ones, and all that they see is as large as it can be: 255 or 254, and what is next above."""
    op = Conv2d(np.ones((8, 1, *kernel), np.int64), groups=8)
    sums = sums_of(Projection("a", "b", op), (8, *kernel), bits, Arithmetic(Scratch(CPU), int8=False))
    found = sums.weighted(torch.full((1, *kernel, 8), 2**bits - 1, dtype=torch.uint8))
    assert found.flatten().tolist() == [(2**bits - 1) * prod(kernel)] * 8


@settings(max_examples=40, deadline=None)
@given(maps("pool"), st.integers(0, 1000))
def test_a_window_with_any_spike_in_it(made: tuple[Any, tuple[int, ...]], seed: int) -> None:
    pool, source = made
    target = pool.output_shape(source)
    arrived = any_of(pool, Scratch(CPU), "here")
    for share in (0.05, 0.3, 1.0, 0.0):
        spikes = np.random.default_rng(seed).random((IMAGES, *source)) < share
        reached = (matrix(pool, source, prod(target)) @ spikes.reshape(IMAGES, -1).T.astype(np.int64)).T > 0
        found = arrived(torch.from_numpy(last(spikes)))
        np.testing.assert_array_equal(found, last(reached.reshape(IMAGES, *target)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(st.data(), st.booleans())
def test_events_are_those_of_every_synapse(kind: str, data: st.DataObject, graded: bool) -> None:
    op, source = data.draw(maps(kind))
    thinned = np.where(np.random.default_rng(0).random(op.weight.shape) < 0.4, 0, op.weight)
    op = Dense(thinned) if isinstance(op, Dense) else Conv2d(thinned, op.stride, op.padding, op.dilation, op.groups)
    events = events_of(Projection("a", "b", op), source, CPU, graded=graded)
    emitted = np.random.default_rng(1).integers(0, 300, source)
    sent = torch.from_numpy(last(emitted[None])[0] if len(source) == 3 else emitted)
    tally = events.tally(*events.reached(sent).tolist())
    wanted = [int((emitted * fan_out(op, source, zero_weights=zero)).sum()) for zero in (True, False)]
    of_macs, of_spikes = (wanted, [0, 0]) if graded else ([0, 0], wanted)
    assert [tally.input_macs, tally.input_macs_effective] == of_macs
    assert [tally.synops_dense, tally.synops_effective] == of_spikes
