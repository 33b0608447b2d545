"""A float NIR graph of anybody's, by hand or of snnTorch, norse, sinabs or spikingjelly, as a float network.

NIR says what a neuron's differential equation is, and neither the time step nor how writers step it. Read here as:
synchronous and feed-forward, one step per `dt`, a spike reaches the next neuron within its step. `nodes.py` has the
equations of each node, `writers.py` what each tool's files mean beyond what they say, and `Foreign` what is left open.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import nir

from kdsnn.errors import InputError, LoweringError
from kdsnn.export.foreign.nodes import lower_node
from kdsnn.export.foreign.reader import Foreign, Port, Reader, shown
from kdsnn.export.foreign.writers import doubts, settled
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.linear_stream import Stream
from kdsnn.export.nir_graph import read_graph
from kdsnn.network import Network, neuron_of

__all__ = ["Foreign", "from_graph", "read_foreign"]

Key = tuple[str, ...]  # the names of a node and of the graphs it lies in, outermost first
Edge = tuple[Key, Key]
MAX_DEPTH = 50  # of graphs in graphs


def read_foreign(path: Path, options: Foreign) -> Network:
    """The float network of a NIR file.

    Args:
        path: of an HDF5 file as `nir.write` makes it.
        options: what the file leaves open.

    Raises:
        InputError: not HDF5, unsafe, no NIR graph, or a broken one; or it cannot say what matters, and nobody says it.
        LoweringError: a node that no target can run exactly; names it.
    """
    graph = read_graph(path)
    if "kdsnn" in graph.metadata:
        raise InputError(
            f"{path} is an integer network that kdsnn wrote, not a float one", hint="it is quantized already: use it"
        )
    return from_graph(graph, options, name=path.stem)


def from_graph(graph: nir.NIRGraph, options: Foreign, *, name: str = "foreign") -> Network:
    """The float network of a NIR graph in memory. See `read_foreign`."""
    nodes, edges = _flattened(graph, (), 0)
    order = _in_order(nodes, edges)
    start, end = _only(nodes, nir.Input, "Input"), _only(nodes, nir.Output, "Output")
    _check_reach(nodes, edges, start, end)
    doubt, options = doubts(options, nodes), settled(options, nodes)
    reader = Reader(options)
    values: dict[Key, Stream] = {}
    for key in order:
        if key == start:
            values[key] = reader.start("_".join(key), nodes[key])
            continue
        entering = values[next(a for a, b in edges if b == key)]
        for source in [a for a, b in edges if b == key][1:]:
            entering = _sum(entering, values[source], key)
        values[key] = entering if key == end else lower_node(reader, entering, nodes[key], "_".join(key))
    _check_end(reader, values[end])
    output = reader.found.populations[-1]
    return Network(
        name=name,
        populations=tuple(reader.found.populations),
        projections=tuple(reader.found.projections),
        timesteps=options.timesteps,
        labels=tuple(map(str, range(output.neurons)) if options.labels is None else options.labels),
        integer=False,
        provenance=_said(options, doubt),
    )


def _said(options: Foreign, doubt: str) -> dict[str, str]:
    """What the file was taken to mean."""
    said = {
        "source": "nir",
        "writer": options.writer,
        "reset": "zero",
        "fires_at": options.fires_at,
        "solve": options.solve,
        "input_scale": f"{options.input_scale:g}",
        "dt": None if options.dt is None else f"{options.dt:g}",
        "doubt": doubt,
    }
    return {key: value for key, value in said.items() if value}


def _flattened(graph: nir.NIRGraph, inside: Key, depth: int) -> tuple[dict[Key, Any], list[Edge]]:
    """All nodes, with those of graphs in the graph, whose Input and Output become ports."""
    if depth > MAX_DEPTH:
        raise InputError(f"graphs are nested more than {MAX_DEPTH} deep in {shown(inside[0])}")
    nodes: dict[Key, Any] = {}
    edges: list[Edge] = []
    ends: dict[str, tuple[Key, Key]] = {}  # where an edge to and from a node attaches
    for name, node in graph.nodes.items():
        key = (*inside, str(name))
        ends[name] = (key, key)
        if isinstance(node, nir.NIRGraph):
            inner, inner_edges = _flattened(node, key, depth + 1)
            ports = {kind: [k for k, n in inner.items() if k[:-1] == key and n is kind] for kind in Port}
            if any(len(found) != 1 for found in ports.values()):
                raise InputError(f"graph {shown(key)} has not one Input and one Output")
            ends[name] = (ports[Port.IN][0], ports[Port.OUT][0])
            nodes |= inner
            edges += inner_edges
        elif inside and isinstance(node, nir.Input | nir.Output):
            nodes[key] = Port.IN if isinstance(node, nir.Input) else Port.OUT
        else:
            nodes[key] = node
    return nodes, edges + _edges(graph, ends)


def _edges(graph: nir.NIRGraph, ends: dict[str, tuple[Key, Key]]) -> list[Edge]:
    made = []
    for edge in graph.edges:
        if len(edge) != 2:
            raise InputError(f"an edge is no pair of nodes: {str(edge)[:100]}")
        for name in edge:
            if name not in ends:
                raise InputError(f"the edge {shown(edge[0])} -> {shown(edge[1])} names a node that does not exist")
        made.append((ends[edge[0]][1], ends[edge[1]][0]))
    for (source, target), count in Counter(made).items():
        if count > 1:
            raise InputError(f"the edge {shown(source)} -> {shown(target)} is there {count} times")
    return made


def _in_order(nodes: dict[Key, Any], edges: list[Edge]) -> list[Key]:
    """The nodes in an order in which every edge runs forward (Kahn)."""
    waiting = Counter(target for _, target in edges)
    after: dict[Key, list[Key]] = {}
    for source, target in edges:
        after.setdefault(source, []).append(target)
    ready = [key for key in nodes if not waiting[key]]
    order: list[Key] = []
    for key in ready:  # grows while it is walked
        order.append(key)
        for target in after.get(key, []):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if len(order) < len(nodes):
        cycle = _cycle(set(nodes) - set(order), edges)
        names = " -> ".join(shown(key) for key in [*cycle[:10], *cycle[:1]])
        raise LoweringError(f"the graph is recurrent: {names}", hint="only feed-forward networks can be lowered")
    return order


def _cycle(stuck: set[Key], edges: list[Edge]) -> list[Key]:
    """A cycle among nodes of which each has a predecessor among them."""
    before = {target: source for source, target in edges if source in stuck and target in stuck}
    path = [next(key for key in sorted(stuck) if key in before)]
    while before[path[-1]] not in path:
        path.append(before[path[-1]])
    return path[path.index(before[path[-1]]) :][::-1]


def _only(nodes: dict[Key, Any], kind: type, what: str) -> Key:
    found = [key for key, node in nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        names = f": {', '.join(map(shown, found[:5]))}" if found else ""
        raise InputError(f"the graph has {len(found)} {what} nodes, not one{names}")
    return found[0]


def _check_reach(nodes: dict[Key, Any], edges: list[Edge], start: Key, end: Key) -> None:
    """Every node must get something, and be of use."""
    fed, feeding = {target for _, target in edges}, {source for source, _ in edges}
    for key in nodes:
        if (key in fed) == (key == start):
            raise InputError(f"node {shown(key)} {'is the Input, and gets' if key == start else 'has no'} input")
        if (key in feeding) == (key == end):
            raise InputError(
                f"node {shown(key)} {'is the Output, and has' if key == end else 'leads to no'} other node"
            )


def _sum(first: Stream, second: Stream, key: Key) -> Stream:
    try:
        return streams.add(first, second)
    except LoweringError as error:
        raise InputError(f"node {shown(key)}: {error.message} enters it") from error


def _check_end(reader: Reader, stream: Stream) -> None:
    last = reader.found.populations[-1]
    for population in reader.found.populations[1:-1]:
        if not neuron_of(population).fires:
            raise LoweringError(f"node {shown(population.name)} never fires, and is not what enters the Output")
    if len(reader.found.populations) < 2 or not stream.is_spikes or stream.terms[0].source != last.name:
        raise LoweringError(
            "what enters the Output is not the spikes or the potentials of one population",
            hint="let the last neurons, or integrators (I, LI, CubaLI), feed the Output directly",
        )
