"""The Python 3.10 environment that lava-nc needs; see `kdsnn.targets.processes.environments`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kdsnn.targets.processes.environments import Environment, Needed, set_up

__all__ = ["LAVA", "setup_environment"]

LAVA = Needed(
    target="lava",
    package="lava-nc",
    python="3.10",
    requirements=Path(__file__).with_name("requirements.txt"),
    check="import lava.proc.conv.process, lava.proc.dense.process, lava.proc.lif.process, lava.magma.runtime.runtime",
)


def setup_environment(*, progress: Callable[[str], None] | None = None) -> Environment:
    """The environment, made where it is missing; see `set_up`."""
    return set_up(LAVA, progress=progress)
