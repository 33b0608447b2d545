"""The first screen of a report: what the network is, whether it is still the same, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdsnn.energy.models import load_energy_model
from kdsnn.hardware.limits import load_hardware
from kdsnn.network import Network

__all__ = ["LEADING_MODEL", "verdict_of"]

LEADING_MODEL = "loihi1"  # the energy model that the page leads with: the one with a published table of a real chip


def verdict_of(
    network: Network,
    evaluations: Sequence[Mapping[str, Any]],
    accuracy: Mapping[str, Any],
    energy: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The figures that a reader should see first, each from what was measured or estimated elsewhere in the report.

    Args:
        network: the integer network.
        evaluations: that are of it, those of most images first.
        accuracy: the row of the widest evaluation.
        energy: the estimates.
    """
    compared = {e["target"]: e for e in reversed(evaluations) if e["matches_reference"]}  # of each the widest
    leading = next((e for e in energy if e["model"] == LEADING_MODEL), None)
    return {
        "machines": sorted(compared),
        "spikes_compared": sum(int(e["counts"]["spikes"]) for e in compared.values()),
        "accuracy": dict(accuracy),
        "neurons": sum(p.neurons for p in network.spiking),
        "synaptic_weights": sum(int(p.op.weight.size) for p in network.projections),
        "weight_bits": network.provenance.get("weight_bits"),
        "energy": None if leading is None else {**_cost(leading), "grey_bits": _grey_bits(network)},
    }


def _cost(estimate: Mapping[str, Any]) -> dict[str, Any]:
    static = estimate["static"]
    return {
        "title": estimate["title"],
        "dynamic_j": estimate["dynamic_j_per_sample"],
        "alone_j": estimate["total_j_per_sample"],
        "streaming_j": estimate["streaming_j_per_sample"],
        "latency_s": None if static is None else static.get("latency_s"),
        "left_out": list(estimate["left_out"]),
    }


def _grey_bits(network: Network) -> int | None:
    """Bits of an input message where the chip's spikes have fewer, and the estimate takes it for a spike; else None."""
    chip = load_energy_model(LEADING_MODEL).chip
    most = None if chip is None else load_hardware(chip.hardware).most("message_bits")
    return network.input_bits if most is not None and network.input_bits > most else None
