"""A float NIR graph of anybody's, by hand or of snnTorch, norse, sinabs or spikingjelly, as a float network.

NIR says what a neuron's differential equation is, and neither the time step nor how writers step it. Read here as:
synchronous, one step per `dt`, a spike reaches the next neuron within its step, and its own population one step later.
`nodes.py` has the equations of each node, `loops.py` what feeds itself, `writers.py` what each tool's files mean beyond
what they say, and `Foreign` what is left open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import nir

from kdsnn.errors import InputError, LoweringError
from kdsnn.export.foreign.loops import Edge, Key, in_order, loops_of
from kdsnn.export.foreign.nodes import lower_node
from kdsnn.export.foreign.reader import USUAL_STEPS, Foreign, Port, Reader, shown
from kdsnn.export.foreign.writers import doubts, settled
from kdsnn.export.lowering import linear_stream as streams
from kdsnn.export.lowering.composition import gathered
from kdsnn.export.lowering.linear_stream import Stream
from kdsnn.export.nir_graph import read_graph
from kdsnn.network import Network, neuron_of

__all__ = ["Foreign", "from_graph", "read_foreign"]

MAX_DEPTH = 50  # of graphs in graphs
MOST_CLASSES = 2**16
MOST_EDGES = 20_000  # of a graph; two to a node in most


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
    loops = loops_of(nodes, edges)
    start, end = _only(nodes, nir.Input, "Input"), _only(nodes, nir.Output, "Output")
    _check_reach(nodes, edges, start, end)
    doubt, options = doubts(options, nodes, loops), settled(options, nodes)
    reader = Reader(options)
    graph_ = _Graph(reader, nodes, _sources(edges), loops, start)
    order = in_order(nodes, edges, loops)
    inside = {key: neuron for neuron, loop in loops.items() for key in loop}
    for key in order:
        if key in loops:
            graph_.take_loop(key, [k for k in order if k in loops[key] and k != key])
        elif key not in inside:
            graph_.values[key] = graph_.entering(key) if key == end else graph_.value(key)
    values = graph_.values
    _check_end(reader, values[end])
    output = reader.found.populations[-1]
    if output.neurons > MOST_CLASSES:
        raise InputError(f"it has {output.neurons:,} output neurons, more than {MOST_CLASSES:,}")
    return Network(
        name=name,
        populations=tuple(reader.found.populations),
        projections=tuple(reader.found.projections),
        timesteps=USUAL_STEPS if options.timesteps is None else options.timesteps,
        labels=tuple(map(str, range(output.neurons)) if options.labels is None else options.labels),
        integer=False,
        provenance=_said(options, doubt),
    )


@dataclass
class _Graph:
    """A graph while it is read: what each node makes, as far as it has been read.

    Attributes:
        reader: of it.
        nodes: by their names.
        sources: of what enters each.
        loops: see `loops_of`.
        start: the Input.
        late: what arrives from neurons that feed themselves, one step later.
        values: what each node makes.
    """

    reader: Reader
    nodes: Mapping[Key, Any]
    sources: Mapping[Key, list[Key]]
    loops: Mapping[Key, frozenset[Key]]
    start: Key
    late: dict[Key, Stream] = field(default_factory=dict)
    values: dict[Key, Stream] = field(default_factory=dict)

    def value(self, key: Key) -> Stream:
        """What a node makes of what enters it."""
        if key == self.start:
            return self.reader.start("_".join(key), self.nodes[key])
        return lower_node(self.reader, self.entering(key), self.nodes[key], "_".join(key))

    def entering(self, key: Key) -> Stream:
        """The sum of what enters a node."""
        return self._sum(
            key, [self.late[s] if key in self.loops.get(s, ()) else self.values[s] for s in self.sources[key]]
        )

    def take_loop(self, neuron: Key, others: Sequence[Key]) -> None:
        """Reads the neurons of a loop and the nodes in it, in an order in which these feed each other.

        How many neurons there are is known by what enters the loop from outside.
        """
        from_outside: dict[Key, Stream] = {}
        for key in (*others, neuron):
            entering = [from_outside[s] if s in from_outside else self.values.get(s) for s in self.sources[key]]
            found = [stream for stream in entering if stream is not None]
            if found:
                whole = self._sum(key, found)
                node = self.nodes[key]
                from_outside[key] = whole if key == neuron else lower_node(self.reader, whole, node, "_".join(key))
        if neuron not in from_outside:
            raise InputError(f"node {shown(neuron)} has no input but its own spikes")
        sent = streams.spikes_of(self.reader.free_name("_".join(neuron)), from_outside[neuron].shape)
        self.late[neuron] = streams.delayed(sent, None)
        for key in (*others, neuron):
            self.values[key] = self.value(key)

    def _sum(self, key: Key, entering: Sequence[Stream]) -> Stream:
        try:
            return reduce(lambda a, b: gathered(streams.add(a, b)), entering)
        except LoweringError as error:
            raise InputError(f"node {shown(key)}: {error.message} enters it") from error


def _sources(edges: Sequence[Edge]) -> dict[Key, list[Key]]:
    sources: dict[Key, list[Key]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    return sources


def _said(options: Foreign, doubt: str) -> dict[str, str]:
    """What the file was taken to mean."""
    said = {
        "source": "nir",
        "writer": options.writer,
        "reset": options.reset or "zero",
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
    made: list[Edge] = []
    if len(graph.edges) > MOST_EDGES:
        raise InputError(f"it has {len(graph.edges):,} edges, more than {MOST_EDGES:,}")
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
