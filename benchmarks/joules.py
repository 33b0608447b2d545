"""Joules of a GPU, by its own counter (NVML). The counters of a CPU are not for everybody to read: None there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from kdsnn.energy.meters import NvmlMeter

__all__ = ["Counter", "counter_of", "joules_of"]

Counter = Callable[[], float]  # joules so far
LONG_ENOUGH_S = 2.0  # NVML looks at its sensor every 20 to 100 ms


def counter_of(device: str) -> Counter | None:
    """The counter of a torch device; ends the program where a GPU has none that can be read."""
    if not device.startswith("cuda"):
        return None
    meter = NvmlMeter(device)
    if why_not := meter.why_not():
        sys.exit(why_not)
    return meter.joules


def joules_of(run: Callable[[], object], counter: Counter, long_enough_s: float = LONG_ENOUGH_S) -> float:
    """Joules of one run, a mean over as many as fill the time; what the GPU uses at rest is in it."""
    run()
    began, before, runs = time.perf_counter(), counter(), 0
    while time.perf_counter() - began < long_enough_s:
        run()
        runs += 1
    return (counter() - before) / runs
