"""SANA-FE is there for all tests here. They fail, and do not skip, where it is not."""

from __future__ import annotations

import pytest

from kdsnn.targets.sanafe.adapter import SanafeTarget


@pytest.fixture(scope="session", autouse=True)
def target() -> SanafeTarget:
    target = SanafeTarget()
    availability = target.probe()
    assert availability.available, f"{availability.detail}; {availability.hint}"
    return target
