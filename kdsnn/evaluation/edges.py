"""The three edges of the road from a module to a machine, and what is known of each.

    module or file ──(1)── float network ──(2)── integer network ──(3)── machine

A network keeps in its provenance what was measured of the first two, in words, so that whoever evaluates it can say how
far the proof reaches: equality on the last edge alone is no success.
"""

from __future__ import annotations

from collections.abc import Mapping

from kdsnn.network import Network

__all__ = ["BEGINS_AS", "FLOAT_TO_INTEGER", "MODULE_TO_FLOAT", "edges_of", "in_words", "verdict"]

MODULE_TO_FLOAT, FLOAT_TO_INTEGER = "module_to_float", "float_to_integer"  # in a network's provenance, a sentence each
BEGINS_AS = "begins_as"


def edges_of(network: Network) -> dict[str, str]:
    """What is known of the edges (1) and (2), in words, by their names, and what (1) begins as: a module or a file."""
    known = network.provenance
    of_file = known.get("source") == "nir"
    why = " (of a file: kdsnn quantize --expect)" if of_file else ""
    return {
        BEGINS_AS: "file" if of_file else "module",
        MODULE_TO_FLOAT: known.get(MODULE_TO_FLOAT, f"not checked{why}"),
        FLOAT_TO_INTEGER: known.get(FLOAT_TO_INTEGER, "not checked"),
    }


def in_words(edges: Mapping[str, str]) -> str:
    """What `edges_of` says, in one line."""
    first = f"{edges[BEGINS_AS]} → float: {edges[MODULE_TO_FLOAT]}"
    return f"{first} · float → integer: {edges[FLOAT_TO_INTEGER]}"


def verdict(edges: Mapping[str, str], target: str, found: str) -> str:
    """All three edges in one line: what `edges_of` says of the first two, and what came of the last."""
    return f"{in_words(edges)} · integer → {target}: {found}"
