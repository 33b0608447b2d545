"""Energy measured while a machine of this kind computes: windows of seconds, with what it takes when idle taken off.

What a meter shows is the whole device, whoever uses it: measure on a machine that does nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from kdsnn.display import Block, Displayed
from kdsnn.energy.meters import Meter

__all__ = ["Measured", "NotMeasured", "measure"]

WINDOW_S, ROUNDS = 3.0, 5  # NVML's counter moves some ten times a second: seconds make that small


@dataclass(frozen=True)
class Measured(Displayed):
    """Joules of a sample, measured.

    Attributes:
        meter: what was measured.
        j_per_sample: mean of the rounds, the idle power taken off.
        spread_j: standard deviation over the rounds.
        gross_j_per_sample: the same with the idle power in it.
        idle_w: watts while nothing ran, mean of a window before and one after.
        samples: in all rounds.
        seconds: of all rounds.
        rounds: number of them.
    """

    meter: str
    j_per_sample: float
    spread_j: float
    gross_j_per_sample: float
    idle_w: float
    samples: int
    seconds: float
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """All by name."""
        return asdict(self)

    def blocks(self) -> tuple[Block, ...]:
        """In a line."""
        net, spread, gross = (1e6 * x for x in (self.j_per_sample, self.spread_j, self.gross_j_per_sample))
        found = f"measured on {self.meter}: {net:.4g} ± {spread:.2g} µJ per sample above idle ({self.idle_w:.3g} W)"
        how = f"{self.samples:,} samples in {self.rounds} rounds, {self.seconds:.1f} s"
        return (f"{found}, {gross:.4g} µJ with it; {how}",)


@dataclass(frozen=True)
class NotMeasured(Displayed):
    """That nothing was measured, and why: never 0 joules."""

    meter: str
    why: str

    def as_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)

    def blocks(self) -> tuple[Block, ...]:
        """In a line."""
        return (f"not measured: {self.why}",)


def measure(
    run: Callable[[], int],
    meter: Meter,
    *,
    window_s: float = WINDOW_S,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Measured | NotMeasured:
    """The energy of a sample, by running again and again.

    Args:
        run: computes some samples, and returns how many; it ends when they are done.
        meter: of the machine that computes.
        window_s: seconds that a round lasts at least, and so does each look at the idle machine.
        rounds: number of them, two at least.
        clock: seconds.
        sleep: waits so many.
    """
    if why := meter.why_not():
        return NotMeasured(meter.name, why)
    run()  # what happens once shall not be measured

    def idle() -> float:
        begun, before = clock(), meter.joules()
        sleep(window_s)
        return (meter.joules() - before) / (clock() - begun)

    first = idle()
    each: list[tuple[float, float, int]] = []
    for _ in range(rounds):
        begun, before, samples = clock(), meter.joules(), 0
        while clock() - begun < window_s:
            samples += run()
        each.append((meter.joules() - before, clock() - begun, samples))
    power = mean((first, idle()))
    net = [(joules - power * seconds) / samples for joules, seconds, samples in each]
    if mean(net) <= 0:
        why = f"the machine took no more than when idle ({power:.3g} W), so that something else must have run then"
        return NotMeasured(meter.name, why)
    samples = sum(count for _, _, count in each)
    return Measured(
        meter=meter.name,
        j_per_sample=mean(net),
        spread_j=stdev(net),
        gross_j_per_sample=sum(joules for joules, _, _ in each) / samples,
        idle_w=power,
        samples=samples,
        seconds=sum(seconds for _, seconds, _ in each),
        rounds=rounds,
    )
