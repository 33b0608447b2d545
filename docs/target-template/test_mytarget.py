"""The target computes what the reference does, and refuses what it does not declare."""

from kdsnn.targets.registry import load_target
from kdsnn.testing import check_target


def test_it_computes_the_same_spikes_and_counts() -> None:
    result = check_target(load_target("mytarget"))
    assert result.passed == ("image", "one-step", "spikes-in", "residual", "two-paths", "wide")
    assert "'leak'" in result.refused["leaky"]
    assert not result.unproven  # every feature that is declared was tried
