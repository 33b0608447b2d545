"""Loops of a NIR graph: one population that feeds itself, through linear nodes or straight.

NIR has no delays in its edges, and a simulator needs one in every loop: the spikes that a population sends into its own
loop arrive one step later (snnTorch's RLeaky and RSynaptic, norse's recurrent cells). Loops over several populations
have no such reading that all agree on, and are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import nir

from kdsnn.errors import LoweringError
from kdsnn.export.foreign.reader import shown

__all__ = ["NEURONS", "Edge", "Key", "in_order", "loops_of"]

Key = tuple[str, ...]  # the names of a node and of the graphs it lies in, outermost first
Edge = tuple[Key, Key]
NEURONS = (nir.IF, nir.LIF, nir.CubaLIF, nir.I, nir.LI, nir.CubaLI)
INTEGRATORS = (nir.I, nir.LI, nir.CubaLI)
MOST_NAMED = 10  # nodes of a loop in a message


def loops_of(nodes: Mapping[Key, Any], edges: Sequence[Edge]) -> dict[Key, frozenset[Key]]:
    """The nodes of each loop, by the neurons that it belongs to.

    Raises:
        LoweringError: a loop has several populations, none, or one that never fires; names its nodes.
    """
    found = {}
    for loop in _components(nodes, edges):
        neurons = [key for key in loop if isinstance(nodes[key], NEURONS)]
        firing = [key for key in neurons if not isinstance(nodes[key], INTEGRATORS)]
        if len(neurons) != 1 or not firing:
            names = " -> ".join(shown(key) for key in [*_once_around(loop, edges), loop[0]])
            over = f"over {len(neurons)} populations" if len(neurons) > 1 else "without spikes"
            raise LoweringError(
                f"the graph is recurrent {over}: {names}",
                hint="one population may feed itself, its spikes arriving a step later; no longer loop can be lowered",
            )
        found[firing[0]] = frozenset(loop)
    return found


def in_order(nodes: Iterable[Key], edges: Iterable[Edge], loops: Mapping[Key, frozenset[Key]]) -> list[Key]:
    """The nodes in an order in which every edge runs forward, but for those from neurons into their own loop (Kahn).

    What a loop leads to comes after its neurons, whichever node of it is the last.
    """
    inside = {key: neuron for neuron, loop in loops.items() for key in loop}
    forward = []
    for source, target in edges:
        neuron = inside.get(source)
        if neuron is None or target not in loops[neuron]:
            forward.append((neuron or source, target))
        elif source != neuron:
            forward.append((source, target))
    waiting: dict[Key, int] = dict.fromkeys(nodes, 0)
    after: dict[Key, list[Key]] = {}
    for source, target in forward:
        waiting[target] += 1
        after.setdefault(source, []).append(target)
    order = [key for key, count in waiting.items() if not count]
    for key in order:  # grows while it is walked
        for target in after.get(key, []):
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    return order


def _components(nodes: Mapping[Key, Any], edges: Sequence[Edge]) -> list[list[Key]]:
    """Strongly connected components that hold a loop, without recursion (Kosaraju)."""
    after: dict[Key, list[Key]] = {key: [] for key in nodes}
    before: dict[Key, list[Key]] = {key: [] for key in nodes}
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    seen: set[Key] = set()
    left: list[Key] = []
    for key in nodes:
        left += _walked(key, after, seen)
    seen.clear()
    found = [_walked(key, before, seen) for key in reversed(left)]
    return [nodes_ for nodes_ in found if len(nodes_) > 1 or (nodes_ and nodes_[0] in after[nodes_[0]])]


def _walked(start: Key, after: Mapping[Key, list[Key]], seen: set[Key]) -> list[Key]:
    """Nodes that are reached from one and were not seen, in the order in which a walk in depth leaves them."""
    if start in seen:
        return []
    seen.add(start)
    left, path = [], [(start, iter(after[start]))]
    while path:
        key, rest = path[-1]
        target = next((t for t in rest if t not in seen), None)
        if target is None:
            left.append(key)
            path.pop()
        else:
            seen.add(target)
            path.append((target, iter(after[target])))
    return left


def _once_around(loop: Sequence[Key], edges: Sequence[Edge]) -> list[Key]:
    """A walk around a loop from its first node, along edges, as far as it does not meet itself."""
    inside = set(loop)
    path = [loop[0]]
    while len(path) < MOST_NAMED:
        fresh = next((b for a, b in edges if a == path[-1] and b in inside and b not in path), None)
        if fresh is None:
            break
        path.append(fresh)
    return path
