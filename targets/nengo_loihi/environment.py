"""The Python 3.10 environment that nengo-loihi needs; see `kdsnn.targets.processes.environments`."""

from __future__ import annotations

from pathlib import Path

from kdsnn.targets.processes.environments import Needed

__all__ = ["NENGO_LOIHI"]

NENGO_LOIHI = Needed(
    target="nengo-loihi",
    package="nengo-loihi",
    python="3.10",
    requirements=Path(__file__).with_name("requirements.txt"),
    check="import nengo_loihi.builder, nengo_loihi.emulator, scipy.sparse",
)
