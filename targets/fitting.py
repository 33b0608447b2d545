"""Whether a network fits a target: what it uses must be declared, and every limit kept."""

from __future__ import annotations

from kdsnn.errors import DoesNotFitError, NetworkError, TargetUnavailableError
from kdsnn.network import Network
from kdsnn.network.features import FEATURES
from kdsnn.network.overflow import overflows
from kdsnn.targets.base import Target, Violation

__all__ = ["ensure_fits", "ensure_runnable", "overflow_violations", "violations"]


def violations(target: Target, network: Network) -> list[Violation]:
    """Features that the target has not declared, and limits that the network exceeds; none when it fits."""
    strange = [
        Violation(network.name, f"uses {name!r} ({FEATURES[name]}), which target {target.name!r} does not have")
        for name in sorted(network.features - target.features)
    ]
    return [*strange, *target.check(network)]


def overflow_violations(network: Network) -> list[Violation]:
    """Populations that could leave the range of the hardware's state."""
    return [Violation(name, what) for name, what in overflows(network).items()]


def ensure_fits(target: Target, network: Network) -> None:
    """Raises unless the network is an integer network that fits the target.

    Raises:
        NetworkError: it is a float network.
        DoesNotFitError: it uses what the target has not declared, or exceeds a limit.
    """
    if not network.integer:
        raise NetworkError("targets run integer networks, and this one is float", hint="run kdsnn quantize first")
    if found := violations(target, network):
        raise DoesNotFitError(
            f"network {network.name!r} does not fit target {target.name!r}", problems=[str(v) for v in found]
        )


def ensure_runnable(target: Target, network: Network) -> None:
    """Raises unless the network fits the target, as `ensure_fits` does, and the target can run here."""
    ensure_fits(target, network)
    availability = target.probe()
    if not availability.available:
        raise TargetUnavailableError(
            f"target {target.name!r} is not available: {availability.detail}", hint=availability.hint
        )
