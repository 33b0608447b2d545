"""The Lava environment, made once for all tests here. They fail, and do not skip, where it cannot be made."""

from __future__ import annotations

import pytest

from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.processes.environments import Environment


@pytest.fixture(scope="session", autouse=True)
def environment() -> Environment:
    return setup_environment()
