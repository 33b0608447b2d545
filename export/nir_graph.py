"""Reading the graph of anybody's NIR file: safely, with graphs in graphs, and with what is broken named.

Not by `nir.read`: nir 1.0.8 infers wrong shapes for grouped and rectangular convolutions; `type_check=False` keeps it
from that, but not for graphs in the graph. And what it raises does not say which node is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
from nir.serialization import hdf2dict

from kdsnn.errors import InputError
from kdsnn.export.hdf5_guard import Budget, opened_hdf5
from kdsnn.files.reading import reading

__all__ = ["read_graph"]

MAJOR_VERSION = 1  # of NIR, the newest that we read


def read_graph(path: Path, *, budget: Budget | None = None, held: bytes | None = None) -> nir.NIRGraph:
    """The graph of a NIR file, as it stands there: nothing is inferred, added or compared.

    Args:
        path: of the file.
        budget: what it may hold.
        held: its contents, where they are in memory.

    Raises:
        InputError: it is unsafe to read, holds no graph, or a node that is none; names the node.
    """
    with opened_hdf5(path, budget, held=held) as file, reading(path, "is not a NIR graph"):
        _check_version(path, file)
        root = hdf2dict(file["node"])
    if root.get("type") != "NIRGraph":
        raise InputError(f"{path} holds a single {str(root.get('type'))[:50]}, not a graph")
    try:
        return _graph(root, ())
    except InputError as error:
        raise InputError(f"{path} is not a NIR graph: {error.message}", hint=error.hint) from error


def _check_version(path: Path, file: h5py.File) -> None:
    found = file["version"][()] if isinstance(file.get("version"), h5py.Dataset) else None
    version = found.decode(errors="replace") if isinstance(found, bytes) else found
    if not isinstance(version, str):
        raise InputError(f"{path} is not a NIR file: it does not say its version")
    major = version.split(".")[0]
    if not major.isdecimal() or int(major) > MAJOR_VERSION:
        raise InputError(f"{path} is written in NIR {version[:20]!r}, and this version reads up to {MAJOR_VERSION}.x")


def _graph(fields: Mapping[str, Any], inside: tuple[str, ...]) -> nir.NIRGraph:
    nodes, edges = fields.get("nodes", {}), fields.get("edges", ())
    where = f"graph {'_'.join(inside)[:100]!r}" if inside else "it"
    if not isinstance(nodes, dict):
        raise InputError(f"{where} has no nodes")
    try:
        pairs = [(_text(source), _text(target)) for source, target in edges]
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} has edges that are no pairs of names: {str(error)[:100]}") from error
    made = {name: _node(node, (*inside, name)) for name, node in _named(nodes)}
    metadata = fields.get("metadata", {})
    return nir.NIRGraph(made, pairs, metadata=metadata if isinstance(metadata, dict) else {}, type_check=False)


def _named(nodes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The nodes by name. HDF5 takes a slash in a name for a group in a group, which has no type of its own."""
    for name, node in nodes.items():
        if isinstance(node, dict) and "type" not in node and all(isinstance(v, dict) for v in node.values()) and node:
            yield from ((f"{name}/{rest}", inner) for rest, inner in _named(node))
        else:
            yield name, node


def _node(fields: Any, name: tuple[str, ...]) -> nir.NIRNode:
    kind = fields.get("type") if isinstance(fields, dict) else None
    if not isinstance(kind, str):
        raise InputError(f"node {'_'.join(name)[:100]!r} does not say its type")
    if kind == "NIRGraph":
        return _graph(fields, name)
    if kind.startswith("Conv"):
        fields = {**fields, "input_shape": None}  # of which nir would infer shapes
    with reading(f"node {'_'.join(name)[:100]!r} ({kind[:50]})", "is broken"):
        return nir.dict2NIRNode(dict(fields))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
