"""Frames that are too many for the memory lie in a file, and are the same."""

import subprocess
import sys

import numpy as np
import pytest

from kdsnn.data import room
from kdsnn.data.encoders import encoded, latency
from kdsnn.data.events.binning import Binning
from kdsnn.data.events.saccade import recorded
from kdsnn.network.arrays import freeze

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 1, 6, 6), dtype=np.uint8)


def test_what_lies_in_a_file_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    held = encoded(IMAGES, "rate", 7), recorded(IMAGES, Binning(3))
    monkeypatch.setattr(room, "HELD", 100)
    monkeypatch.setattr("kdsnn.data.encoders.AT_ONCE", 1000)
    filed = encoded(IMAGES, "rate", 7), recorded(IMAGES, Binning(3))
    for one, other in zip(held, filed, strict=True):
        assert not isinstance(one, np.memmap)
        assert isinstance(other, np.memmap)
        assert np.array_equal(one, other)
    freeze(filed[0])
    with pytest.raises(ValueError, match="read-only"):
        filed[0][0] = 0


def test_parts_are_put_together_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdsnn.data.encoders.AT_ONCE", 1)
    assert np.array_equal(encoded(IMAGES, "latency", 5), latency(IMAGES, 5))


PEAK = """
import resource
import numpy as np
from kdsnn.data.encoders import encoded
images = np.random.default_rng(0).integers(0, 256, (100, 1, 28, 28), dtype=np.uint8)
encoded(images[:2], "delta", 10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = encoded(images, "delta", 3000)
assert made.shape == (100, 3000, 1, 28, 28)
print(made.nbytes // 2**20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_encoding_does_not_take_memory_beside_the_spikes() -> None:
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    spikes, more = map(int, done.stdout.split())
    assert spikes == 224
    assert more < spikes + 150  # MiB; whole numbers of 64 bits of all of them would take 1,800
