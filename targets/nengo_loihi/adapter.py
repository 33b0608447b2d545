"""The nengo-loihi target: Loihi 1 as its emulator has it, in an interpreter of its own, on the integer network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.errors import UsageError
from kdsnn.network import Network
from kdsnn.network.features import (
    CLIPPING,
    CURRENT,
    GRADED_INPUT,
    INPUT_IN_TIME,
    LEAK,
    MEMBRANE_READOUT,
    RECURRENCE,
)
from kdsnn.targets.base import Availability, Computed, Program, Progress, Target, Violation
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.nengo_loihi.environment import NENGO_LOIHI
from kdsnn.targets.nengo_loihi.job import write_job
from kdsnn.targets.nengo_loihi.limits import violations
from kdsnn.targets.nengo_loihi.result import WHO, read_result
from kdsnn.targets.processes.environments import Environment, probe, require, worker_variables
from kdsnn.targets.processes.lanes import even_lanes
from kdsnn.targets.processes.one_worker import run_one, script_kind

__all__ = ["NengoLoihiProgram", "NengoLoihiTarget"]

MOST_LANES, COMPARTMENTS = 64, 2**15  # that pay, and of all lanes together: measured in docs/nengo-loihi.md
WORKER = Path(__file__).with_name("worker") / "emulate.py"


class NengoLoihiTarget(Target):
    """nengo-loihi's emulator of Loihi 1.

    Args:
        lanes: images that run side by side, as copies of the network that share its weights; 0 leaves it to the size
            of the network.

    Raises:
        UsageError: lanes is negative.
    """

    name = "nengo-loihi"
    description = "nengo-loihi's emulator of Loihi 1, in a Python 3.10 of its own"
    features = frozenset({LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, CLIPPING, INPUT_IN_TIME, RECURRENCE})

    def __init__(self, *, lanes: int = 0) -> None:
        if lanes < 0:
            raise UsageError(f"lanes must be 0, which chooses, or more, not {lanes}")
        self.lanes = lanes

    def probe(self) -> Availability:
        """Whether the environment is set up. Makes nothing."""
        return probe(NENGO_LOIHI)

    def check(self, network: Network) -> list[Violation]:
        """All limits of the emulator that the network exceeds."""
        return violations(network)

    def compile(self, network: Network) -> NengoLoihiProgram:
        """The network with the environment that runs it.

        Raises:
            DoesNotFitError: it exceeds a limit.
            TargetUnavailableError: the environment is not set up.
        """
        ensure_runnable(self, network)
        return NengoLoihiProgram(network, require(NENGO_LOIHI), self.lanes)


class NengoLoihiProgram(Program):
    """A network on the emulator. Each run starts a process, which runs one round of images after the other."""

    def __init__(self, network: Network, environment: Environment, lanes: int) -> None:
        super().__init__(network)
        self.environment = environment
        self.lanes = lanes

    def compute(
        self,
        images: npt.NDArray[np.uint8],
        recorded: Sequence[str],
        time_limit_s: float | None,
        progress: Progress | None,
    ) -> Computed:
        """Runs the images; without a time limit, 600 s without an image end a run."""
        network = self.network
        lanes = even_lanes(len(images), self.lanes or _lanes(network))
        return run_one(
            script_kind(WHO, self.environment.python, WORKER, worker_variables()),
            NengoLoihiTarget.name,
            lambda folder: write_job(folder, network, images, list(recorded), lanes=lanes, parent=os.getpid()),
            lambda folder: read_result(folder, network, len(images), recorded),
            time_limit_s=time_limit_s,
            progress=progress,
        )


def _lanes(network: Network) -> int:
    """As many as pay: a time step of a small network is nearly all overhead of numpy, that of a large one is none."""
    return max(1, min(MOST_LANES, COMPARTMENTS // sum(p.neurons for p in network.spiking)))
