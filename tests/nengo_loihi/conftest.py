"""The environment of nengo-loihi, made once for all tests here. They fail, and do not skip, where it cannot be made."""

from __future__ import annotations

import pytest

from kdsnn.targets.nengo_loihi.environment import NENGO_LOIHI
from kdsnn.targets.processes.environments import Environment, set_up


@pytest.fixture(scope="session", autouse=True)
def environment() -> Environment:
    return set_up(NENGO_LOIHI)
