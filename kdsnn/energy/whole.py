"""The whole of an energy: static power times time, and the terms that are not in it, by name."""

from __future__ import annotations

from dataclasses import dataclass

from kdsnn.energy.deployment import Deployment
from kdsnn.energy.models import TRAFFIC, EnergyModel

__all__ = ["Static", "left_out_of", "never_known", "static_of"]


@dataclass(frozen=True)
class Static:
    """Static power over the time that a sample takes.

    Attributes:
        chip_w: watts of a chip.
        chips: in use.
        latency_s: of a sample that runs alone: time steps and depth.
        period_s: between two samples in a stream: time steps.
    """

    chip_w: float
    chips: int
    latency_s: float
    period_s: float

    @property
    def power_w(self) -> float:
        """Watts of all chips."""
        return self.chip_w * self.chips

    @property
    def alone_j(self) -> float:
        """Joules of a sample that runs alone."""
        return self.power_w * self.latency_s

    @property
    def streaming_j(self) -> float:
        """Joules of a sample in a stream."""
        return self.power_w * self.period_s

    def said(self, seconds: float) -> str:
        """In words: `104.4 mW, 1 chip, 402.7 µs`."""
        chips = "1 chip" if self.chips == 1 else f"{self.chips} chips"
        return f"{1e3 * self.power_w:.4g} mW, {chips}, {1e6 * seconds:.1f} µs"

    def joules(self) -> dict[str, float]:
        """For `--json`."""
        return {"alone_j_per_sample": self.alone_j, "streaming_j_per_sample": self.streaming_j}


def static_of(model: EnergyModel, deployment: Deployment | None, step_s: float | None) -> Static | None:
    """Static power over the time of a sample; None where power, chips or time are unknown."""
    if model.static is None or deployment is None or step_s is None:
        return None
    steps = deployment.timesteps
    return Static(model.static.chip_w, deployment.chips, step_s * (steps + deployment.depth), step_s * steps)


def never_known(model: EnergyModel) -> tuple[str, ...]:
    """Terms that no network's total has under this model, each with the reason; with any there is never a total."""
    return left_out_of(model, None) if model.chip is None else tuple(_missing(model))


def left_out_of(model: EnergyModel, deployment: Deployment | None) -> tuple[str, ...]:
    """What is in none of the figures of this model and this deployment, each with the reason."""
    found = _missing(model)
    charged = {count for part in model.parts for count in part.counts}
    if deployment is None:
        if charged & set(TRAFFIC):
            found.append("messages to several cores, and hops: the network is not placed; a spike is one message here")
        if model.static:
            found.append("static energy: the network is not placed, so neither chips nor time are known")
        return tuple(found)
    if deployment.chips > 1:
        if charged & set(TRAFFIC):
            found.append(f"hops: no figure is public for those between chips, and the network takes {deployment.chips}")
        if model.static:
            found.append(
                f"static energy: {deployment.chips} chips take {deployment.chips * model.static.chip_w:.3g} W, and no "
                "public figure says how long a time step of several chips takes"
            )
    found += [f"what does not fit the chip: {problem}" for problem in deployment.problems]
    return tuple(found)


def _missing(model: EnergyModel) -> list[str]:
    return [f"{each.term}: {each.why}" for each in model.missing]
