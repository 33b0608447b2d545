"""A fingerprint cannot go stale: nobody can write to the arrays of a network."""

import numpy as np
import pytest

from kdsnn.network import Conv2d, Dense, Neuron
from kdsnn.network.arrays import freeze, read_only
from kdsnn.testing import random_network


def test_weights_and_biases_of_a_network_cannot_be_written_to() -> None:
    network = random_network(3)
    before = network.fingerprint()
    arrays = [p.op.weight for p in network.projections]
    arrays += [p.model.bias for p in network.populations if isinstance(p.model, Neuron)]
    assert len(arrays) > 2
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert network.fingerprint() == before


@pytest.mark.parametrize("made", [lambda w: Dense(w).weight, lambda w: Conv2d(w).weight, lambda w: Neuron(1, w).bias])
def test_whoever_made_the_array_keeps_one_of_their_own(made) -> None:
    mine = np.ones((2, 3), np.int16)
    kept = made(mine)
    mine[:] = 7
    assert mine.flags.writeable
    assert (kept == 1).all()


def test_a_read_only_view_of_what_can_be_written_to_is_no_shelter() -> None:
    mine = np.arange(4)
    view = mine.view()
    view.flags.writeable = False
    kept = read_only(view)
    mine[:] = 9
    assert kept.tolist() == [0, 1, 2, 3]
    assert not kept.flags.writeable


def test_what_nobody_can_write_to_is_not_copied() -> None:
    once = read_only(np.arange(4))
    assert read_only(once) is once
    part = once[1:]
    assert read_only(part) is part
    of_bytes = np.frombuffer(b"abcd", np.uint8)
    assert read_only(of_bytes) is of_bytes


def test_frozen_memory_cannot_be_written_to_by_its_owner() -> None:
    mine = np.arange(6)
    view = mine.reshape(2, 3)[1:]
    freeze(view)
    for array in (mine, view):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    freeze(np.frombuffer(b"abcd", np.uint8))  # of no array
