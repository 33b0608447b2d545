"""Widths of weights, in bits: what a synapse holds, and what two synapses hold together."""

from __future__ import annotations

from kdsnn.network.populations import MAX_EXPONENT, WEIGHT_BITS

__all__ = ["WIDEST", "problem_of_width"]

NARROWEST, WIDEST = 2, WEIGHT_BITS + MAX_EXPONENT


def problem_of_width(bits: int) -> str | None:
    """Why no integer network has signed weights of so many bits, or None."""
    return None if NARROWEST <= bits <= WIDEST else f"weight_bits must be {NARROWEST} to {WIDEST}, not {bits}"
