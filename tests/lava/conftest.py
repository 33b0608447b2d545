"""The Lava environment, made once for all tests here. They fail, and do not skip, where it cannot be made."""

from __future__ import annotations

import pytest

from kdsnn.targets.lava.environment import LavaEnvironment, setup_environment


@pytest.fixture(scope="session", autouse=True)
def environment() -> LavaEnvironment:
    return setup_environment()
