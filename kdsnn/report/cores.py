"""Where a network lies on a chip: its cores in their order, each with the layer that it holds."""

from __future__ import annotations

from typing import Any

from kdsnn.hardware.limits import CORE_LIMITS, hardware_names, load_hardware
from kdsnn.network import Network
from kdsnn.targets.placement.place import Core, Placement, place

__all__ = ["placements"]


def placements(network: Network) -> list[dict[str, Any]]:
    """The placement on each chip whose limits ship with the package."""
    return [_placed(place(network, load_hardware(name))) for name in hardware_names()]


def _placed(placement: Placement) -> dict[str, Any]:
    hardware = placement.hardware
    return {
        "hardware": hardware.name,
        "title": hardware.title,
        "chips": placement.chips,
        "cores": placement.cores,
        "cores_of_a_chip": hardware.cores,
        "layers": [
            {"name": layer.name, "relay": layer.relay, "cores": [_core(core, placement) for core in layer.cores]}
            for layer in placement.layers
        ],
        "violations": [str(violation) for violation in placement.violations],
    }


def _core(core: Core, placement: Placement) -> dict[str, Any]:
    shares = {}
    for what in CORE_LIMITS:
        most = placement.hardware.most(what)
        if most:
            shares[what] = getattr(core.load, what) / most
    fullest = max(shares, key=lambda what: shares[what], default=None)
    return {
        "neurons": int(core.load.neurons),
        "fullest": None if fullest is None else fullest.replace("_", " "),
        "used": None if fullest is None else shares[fullest],
    }
