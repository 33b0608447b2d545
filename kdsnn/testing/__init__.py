"""For tests of targets, ours and others': the conformance suite, and networks to run.

from kdsnn.testing import check_target
check_target(MyTarget())
"""

from kdsnn.testing.conformance import STAGES, Conformance, check_target, random_images, stimuli
from kdsnn.testing.networks import example_networks, integrating, random_network

__all__ = [
    "STAGES",
    "Conformance",
    "check_target",
    "example_networks",
    "integrating",
    "random_images",
    "random_network",
    "stimuli",
]
