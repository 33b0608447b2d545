"""Reading NIR graphs from files: graphs in graphs as they stand, and what is broken by the name of the node."""

from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from kdsnn.errors import InputError
from kdsnn.export.nir_graph import read_graph
from tests.export.foreign.foreign_graphs import conv, fire, read


def wrapped(node: nir.NIRNode, shape: tuple[int, ...]) -> nir.NIRGraph:
    nodes = {"in": nir.Input(np.array(shape)), "inner": node, "out": nir.Output(np.array([1]))}
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def sized(node: nir.Conv2d) -> nir.Conv2d:
    node.input_shape = (8, 6)  # nir cannot write its absence
    return node


def nested(deep: int) -> nir.NIRGraph:
    """Grouped and rectangular convolutions, whose shapes nir infers wrongly, so many graphs deep."""
    grouped, rectangular = sized(conv(4, 2, groups=2, padding=1)), sized(conv(3, 4, (1, 4), padding=(0, 2)))
    for _ in range(deep):
        grouped, rectangular = wrapped(grouped, (2, 8, 6)), wrapped(rectangular, (4, 8, 6))
    nodes = {
        "in": nir.Input(np.array([2, 8, 6])),
        "first": grouped,
        "if1": fire(4, 8, 6),
        "second": rectangular,
        "if2": fire(3, 8, 7),
        "out": nir.Output(np.array([168])),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


@pytest.mark.parametrize("deep", [0, 1, 2, 12])
def test_graphs_in_graphs_come_as_they_stand(tmp_path: Path, deep: int) -> None:
    nir.write(tmp_path / "m.nir", nested(deep))
    back = read(read_graph(tmp_path / "m.nir"))
    assert back.fingerprint() == read(nested(deep)).fingerprint() == read(nested(0)).fingerprint()


def test_a_slash_in_a_name(tmp_path: Path) -> None:
    nodes = {
        "in": nir.Input(np.array([4])),
        "block/0/if": fire(4),
        "block/1": fire(4),
        "out": nir.Output(np.array([4])),
    }
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    assert [p.name for p in read(read_graph(tmp_path / "m.nir")).spiking] == ["block_0_if", "block_1"]


def test_what_is_broken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.nir"

    def refused(what: str, change: object) -> None:
        nir.write(path, nested(1))
        with h5py.File(path, "r+") as file:
            change(file["node/nodes"])
        with pytest.raises(InputError, match=what):
            read_graph(path)

    def short(nodes: h5py.Group) -> None:
        del nodes["if1/v_threshold"]
        nodes["if1/v_threshold"] = np.ones(2)

    def odd(nodes: h5py.Group) -> None:
        del nodes["first/edges"]
        nodes["first/edges"] = 3

    refused(r"node 'if1' \(IF\) is broken: .*same shape", short)
    refused(r"node 'first_inner' does not say its type", lambda nodes: nodes.pop("first/nodes/inner/type"))
    refused(r"node 'first_inner' \(Conv2d\) is broken: TypeError.*stride", lambda n: n.pop("first/nodes/inner/stride"))
    refused(r"graph 'first' has edges that are no pairs", odd)
