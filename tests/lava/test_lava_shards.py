"""Images are shared out in order, each to one worker, and the lanes fill as evenly as they can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lava_networks import everything

from kdsnn.errors import UsageError
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.shards import MOST_LANES, lane_count, shares

NETWORK = everything(timesteps=4, bits=4)


@given(samples=st.integers(1, 300), workers=st.integers(1, 40))
def test_shares_are_ranges_of_equal_length_that_cover_all_images(samples: int, workers: int) -> None:
    found = shares(samples, workers)
    assert len(found) == min(samples, workers)
    assert [i for share in found for i in range(samples)[share]] == list(range(samples))
    lengths = [share.stop - share.start for share in found]
    assert max(lengths) - min(lengths) <= 1


@given(samples=st.integers(1, 300), limit=st.integers(0, 40))
def test_lanes_are_as_few_as_take_the_same_number_of_rounds(samples: int, limit: int) -> None:
    lanes = lane_count(NETWORK, samples, limit)
    most = min(limit or MOST_LANES, samples)
    assert 1 <= lanes <= most
    rounds = -(-samples // most)
    assert -(-samples // lanes) == rounds
    assert lanes == 1 or -(-samples // (lanes - 1)) > rounds


def test_a_large_network_has_fewer_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "kdsnn.targets.lava.shards"
    assert lane_count(NETWORK, 100) == 15  # 16 would leave the seventh round as short
    largest = max(p.neurons for p in NETWORK.populations)
    monkeypatch.setattr(f"{module}.POPULATION_NEURONS", 3 * largest)
    assert lane_count(NETWORK, 99) == 3
    monkeypatch.setattr(f"{module}.NETWORK_NEURONS", 1)
    assert lane_count(NETWORK, 99) == 1


@pytest.mark.parametrize("options", [{"workers": 0}, {"workers": -1}, {"lanes": -1}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        LavaTarget(**options)
