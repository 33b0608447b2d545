"""The SANA-FE target: Loihi's mesh, simulated with energy and time, in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from kdsnn.errors import install_command
from kdsnn.network import Network
from kdsnn.network.features import (
    CURRENT,
    GRADED_INPUT,
    INPUT_IN_TIME,
    LEAK,
    MEMBRANE_READOUT,
    RECURRENCE,
    SUBTRACT_RESET,
)
from kdsnn.targets.base import Availability, Computed, Program, Progress, Target, Violation
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.processes.one_worker import run_one, script_kind
from kdsnn.targets.sanafe.architecture import Constants, constants
from kdsnn.targets.sanafe.job import write_job
from kdsnn.targets.sanafe.mapping import Mapping, map_network, violations
from kdsnn.targets.sanafe.result import read_result

__all__ = ["SanafeProgram", "SanafeTarget"]

WORKER = Path(__file__).with_name("worker") / "simulate.py"
MISSING = "the package sanafe is not installed"
HINT = install_command("sanafe")


class SanafeTarget(Target):
    """SANA-FE with Loihi's cores, mesh and constants.

    Args:
        timing: SANA-FE's model of time on the mesh: `detailed` with congestion, `simple` without.
    """

    name = "sanafe"
    description = "SANA-FE, Loihi's mesh with energy and time, in a process of its own"
    features = frozenset({LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, INPUT_IN_TIME, SUBTRACT_RESET, RECURRENCE})

    def __init__(self, *, timing: Literal["detailed", "simple"] = "detailed") -> None:
        self.timing = timing

    def probe(self) -> Availability:
        """Whether SANA-FE is installed. Does not import it."""
        found = _installed()
        return Availability(True, f"SANA-FE {found}") if found else Availability(False, MISSING, HINT)

    def check(self, network: Network) -> list[Violation]:
        """All reasons why the network cannot run exactly on one chip."""
        return violations(network, constants())

    def compile(self, network: Network) -> SanafeProgram:
        """The network, mapped onto the chip.

        Raises:
            DoesNotFitError: it exceeds a limit.
            TargetUnavailableError: SANA-FE is not installed.
        """
        ensure_runnable(self, network)
        values = constants()
        return SanafeProgram(network, values, map_network(network, values), self.timing)


class SanafeProgram(Program):
    """A network on SANA-FE. Each run starts a process, and streams all images through one simulation."""

    def __init__(self, network: Network, values: Constants, mapping: Mapping, timing: str) -> None:
        super().__init__(network)
        self.constants = values
        self.mapping = mapping
        self.timing = timing

    def compute(
        self,
        images: npt.NDArray[np.uint8],
        recorded: Sequence[str],
        time_limit_s: float | None,
        progress: Progress | None,
    ) -> Computed:
        """Streams the images; without a time limit, 600 s without an image end a run."""
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return run_one(
            script_kind("SANA-FE", sys.executable, WORKER, variables, talks=False),  # it prints a line for each step
            SanafeTarget.name,
            lambda folder: write_job(
                folder,
                self.network,
                images,
                list(recorded),
                constants=self.constants,
                mapping=self.mapping,
                timing=self.timing,
                parent=os.getpid(),
            ),
            lambda folder: read_result(folder, self.network, len(images), recorded, self.constants),
            time_limit_s=time_limit_s,
            progress=progress,
        )


def _installed() -> str | None:
    """The version of SANA-FE that is installed, without an import."""
    try:
        return version("sanafe") if find_spec("sanafe") else None
    except (PackageNotFoundError, ImportError, ValueError):
        return None
