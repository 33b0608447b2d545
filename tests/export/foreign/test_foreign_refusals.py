"""Float NIR graphs that are broken, or that no target can run exactly, are refused by the name of the node."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from kdsnn.errors import InputError, LoweringError, NetworkError
from kdsnn.export.foreign.convert import Foreign, read_foreign
from kdsnn.export.nir import write_nir
from kdsnn.export.quantization.quantize import quantize
from tests.export.foreign.foreign_graphs import (
    chain,
    conv,
    fire,
    lif,
    read,
    weights,
)

NAMED = {
    "Conv1d": nir.Conv1d(6, np.ones((3, 2, 3)), 1, 0, 1, 1, np.zeros(3)),
    "Delay": nir.Delay(np.ones((2, 8, 6))),
    "Threshold": nir.Threshold(np.ones((2, 8, 6))),
    "NoneType": None,
}


@pytest.mark.parametrize("kind", NAMED)
def test_nodes_that_no_target_runs_are_refused_by_name(kind: str) -> None:
    with pytest.raises(LoweringError, match=rf"node 'n0' \({kind}\) cannot be lowered"):
        read(chain(NAMED[kind], fire(5)))


def broken_conv(**fields: Any) -> nir.Conv2d:
    node = conv(3, 2)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def nan(node: nir.NIRNode, field: str, value: float = np.nan) -> nir.NIRNode:
    values = np.array(getattr(node, field), dtype=np.float64)
    values.flat[0] = value
    setattr(node, field, values)
    return node


BROKEN: dict[str, tuple[nir.NIRNode, str]] = {
    "weight nan": (nan(conv(3, 2), "weight"), "weight holds a value that is not finite"),
    "weight inf": (nan(nir.Linear(weights(5, 96)), "weight", np.inf), "weight holds a value that is not finite"),
    "bias nan": (nan(conv(3, 2), "bias"), "bias holds a value that is not finite"),
    "text": (broken_conv(weight="no"), "weight is not made of numbers"),
    "channels": (conv(3, 4), "does not fit"),
    "groups": (broken_conv(groups=3), "does not fit"),
    "no groups": (broken_conv(groups=0), "groups"),
    "weight of 3 dimensions": (broken_conv(weight=np.ones((3, 2, 3))), "shape"),
    "bias too long": (broken_conv(bias=np.ones(4)), "broken"),
    "stride 0": (broken_conv(stride=0), "stride"),
    "half a stride": (broken_conv(stride=1.5), "stride"),
    "negative padding": (broken_conv(padding=-1), "padding"),
    "padding by word": (broken_conv(padding="full"), "padding"),
    "same and stride": (broken_conv(padding="same", stride=2), "'same'"),
    "huge padding": (broken_conv(padding=10**7), "cells"),
    "huge dilation": (
        broken_conv(padding="same", dilation=10**6 + 1, weight=np.ones((3, 2, 2, 2))),
        "kernel of 6,000,024,000,024 weights",
    ),
    "huge pool": (nir.AvgPool2d(10**6, 1, 0), "kernel_size"),
    "kernel beyond the image": (conv(3, 2, (9, 9)), "leaves nothing"),
    "linear": (nir.Linear(weights(5, 7)), "shape"),
    "scale": (nir.Scale(np.ones(5)), "shape"),
    "reset": (nir.IF(np.ones(1), np.ones(1), np.full(1, 0.5)), "v_reset is not zero"),
    "threshold 0": (fire(1, theta=0), "v_threshold is 0"),
    "threshold below 0": (fire(1, theta=-1), "v_threshold is -1"),
    "threshold nan": (fire(1, theta=np.nan), "v_threshold holds"),
    "threshold shape": (fire(7), "v_threshold has shape"),
    "tau 0": (lif(1, tau=0.0), "tau is 0"),
    "tau short": (lif(1, tau=1e-4), "shorter than dt"),
    "tau nan": (lif(1, tau=np.nan), "tau holds"),
    "tau inf alone": (nan(lif(1), "tau", np.inf), "not finite together"),
    "tau differs": (nan(lif(2, 8, 6), "tau", 1e-2), "one decay"),
    "r inf": (nir.IF(np.full(1, np.inf), np.ones(1)), "r holds"),
    "flatten": (nir.Flatten(None, 1, -1), "keeps a dimension"),
    "flatten the front": (nir.Flatten(None, 0, 1), "keeps a dimension"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_nodes_are_named(case: str) -> None:
    node, what = BROKEN[case]
    with pytest.raises(InputError, match=rf"^node 'n0' \({type(node).__name__}\).*{what}"):
        read(chain(node, nir.Flatten(None, 0), nir.Linear(np.ones((5, 1))), fire(5)))


def test_what_would_take_too_large_a_matrix_is_refused_by_name() -> None:
    wide = chain(conv(8, 2, padding=1), conv(8, 8, padding=1), fire(), shape=(2, 100, 100))
    with pytest.raises(
        LoweringError,
        match=r"node 'n1' \(Conv2d\) cannot be lowered: .* no convolution, .* 1,600,000,000 weights, more than 8,3",
    ):
        read(wide)


def test_sums_of_unequal_shapes_are_refused_by_name() -> None:
    odd = chain(
        conv(3, 2, padding=1), fire(3, 8, 6), conv(3, 3, stride=(1, 1)), fire(3, 6, 4), conv(3, 3),
        fire(3, 6, 4), edges=[("n1", "n4")], drop=[("n2", "n3"), ("n3", "n4")],
    )  # fmt: skip
    with pytest.raises(InputError, match="leads to no other node"):
        read(odd)
    with pytest.raises(InputError, match=r"node 'n3': a sum of shapes"):
        read(chain(conv(3, 2), fire(3, 6, 4), conv(3, 3), fire(3, 4, 2), edges=[("n1", "n3")]))


# Graphs that are none.


def test_cycles_are_named() -> None:
    graph = chain(conv(3, 2), fire(3, 6, 4), nir.Scale(np.ones(1)), fire(3, 6, 4), edges=[("n3", "n1")])
    with pytest.raises(LoweringError, match=r"recurrent over 2 populations: ('n\d' -> ){3}'n\d'"):
        read(graph)
    idle = chain(conv(3, 2), nir.Scale(np.ones(1)), nir.Scale(np.ones(1)), fire(3, 6, 4), edges=[("n2", "n1")])
    with pytest.raises(LoweringError, match=r"recurrent without spikes: 'n.' -> 'n.' -> 'n.'"):
        read(idle)
    leaves = chain(
        nir.Linear(weights(5, 96)), fire(5), nir.Scale(np.ones(5)), fire(5), shape=(96,), edges=[("n2", "n1")]
    )
    with pytest.raises(
        LoweringError, match=r"node 'n3' \(IF\) cannot be lowered: spikes of 'n1' reach it one time step late"
    ):
        read(leaves)
    scores = chain(conv(3, 2), nir.I(np.ones((3, 6, 4))), edges=[("n1", "n1")])
    with pytest.raises(LoweringError, match="recurrent without spikes: 'n1' -> 'n1'"):
        read(scores)


def test_edges_are_checked() -> None:
    with pytest.raises(InputError, match="'n1' -> 'ghost' names a node that does not exist"):
        read(chain(conv(3, 2), fire(), edges=[("n1", "ghost")]))
    with pytest.raises(InputError, match="'n0' -> 'n1' is there 2 times"):
        read(chain(conv(3, 2), fire(), edges=[("n0", "n1")]))
    with pytest.raises(InputError, match="no pair of nodes"):
        read(chain(conv(3, 2), fire(), edges=[("n0",)]))


def test_inputs_and_outputs_are_counted() -> None:
    graph = chain(conv(3, 2), fire())
    graph.nodes["more"] = nir.Input(np.array([2]))
    with pytest.raises(InputError, match="has 2 Input nodes, not one: 'input', 'more'"):
        read(graph)
    graph = chain(conv(3, 2), fire())
    graph.nodes["more"] = nir.Output(np.array([2]))
    with pytest.raises(InputError, match="has 2 Output nodes"):
        read(graph)
    for missing in ("Input", "Output"):
        kept = {k: n for k, n in graph.nodes.items() if type(n).__name__ != missing}
        edges = [e for e in graph.edges if set(e) <= set(kept)]
        with pytest.raises(InputError, match=f"has 0 {missing} nodes"):
            read(nir.NIRGraph(kept, edges, type_check=False))
    with pytest.raises(InputError, match="has 0 Input"):
        read(nir.NIRGraph({}, [], type_check=False))


def test_orphans_are_named() -> None:
    graph = chain(conv(3, 2), fire())
    graph.nodes["lost"] = fire(3)
    with pytest.raises(InputError, match="node 'lost' has no input"):
        read(graph)
    with pytest.raises(InputError, match="node 'n1' leads to no other node"):
        read(chain(conv(3, 2), fire(), drop=[("n1", "output")], edges=[("n0", "output")]))
    with pytest.raises(InputError, match="'input' is the Input, and gets input"):
        read(chain(conv(3, 2), fire(), edges=[("n1", "input")], drop=[("input", "n0")]))


def test_the_output_must_get_spikes_or_potentials() -> None:
    for graph in (
        chain(conv(3, 2)),
        chain(nir.Flatten(None, 0)),
        chain(conv(3, 2), fire(), conv(3, 3)),
        chain(conv(3, 2), fire(), nir.Scale(np.array(2.0))),
        chain(conv(3, 2, padding=1), fire(), conv(3, 3, padding=1), fire(), edges=[("n1", "output")]),
    ):
        with pytest.raises(LoweringError, match="not the spikes or the potentials of one population"):
            read(graph)
    with pytest.raises(LoweringError, match="'n1' never fires, and is not what enters the Output"):
        read(chain(conv(3, 2), nir.I(np.ones(1)), fire()))
    flat = chain(conv(3, 2), fire(), nir.Flatten(None, 0))
    assert read(flat).output.neurons == 72


def test_graphs_in_graphs_are_checked() -> None:
    empty = nir.NIRGraph({"in": nir.Input(np.array([2]))}, [], type_check=False)
    with pytest.raises(InputError, match="graph 'n0' has not one Input and one Output"):
        read(chain(empty, fire(3)))
    endless = chain(conv(3, 2), fire())
    endless.nodes["n0"] = endless
    with pytest.raises(InputError, match="nested more than 50 deep in 'n0'"):
        read(endless)


HOSTILE = [
    "if",
    "a.b",
    "../x",
    "",
    "x" * 10_000,
    "-dash",
    "a b",
    "\x1b[31m",
    "output",
    "a_to_b",
    "x_flatten",
    "ünï",
    "a\nb",
]


def test_hostile_names_become_safe_ones(tmp_path: Path) -> None:
    nodes: dict[str, nir.NIRNode] = {"in": nir.Input(np.array([4])), "out": nir.Output(np.array([4]))}
    nodes |= {name: fire(4, theta=0.3) for name in HOSTILE}
    path = ["in", *HOSTILE, "out"]
    graph = nir.NIRGraph(nodes, list(pairwise(path)), type_check=False)
    network = read(graph)
    assert len(network.populations) == len(HOSTILE) + 1
    assert network.populations[1].name == "if"
    integer, _ = quantize(network)
    write_nir(integer, tmp_path / "m.nir")


def test_a_name_that_is_taken_is_numbered() -> None:
    nodes = {
        "in": nir.Input(np.array([4])),
        "a b": fire(4),
        "a/b": fire(4),
        "a_b": fire(4),
        "out": nir.Output(np.array([4])),
    }
    path = list(nodes)
    network = read(nir.NIRGraph(nodes, list(pairwise(path)), type_check=False))
    assert [p.name for p in network.spiking] == ["a_b", "a_b_2", "a_b_3"]


def test_a_huge_name_is_cut_in_messages() -> None:
    graph = chain(conv(3, 2), fire())
    graph.nodes["x" * 10_000] = fire(3)
    with pytest.raises(InputError, match="xxx") as caught:
        read(graph)
    assert len(str(caught.value)) < 300


# Files.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.nir"
    nir.write(path, chain(nir.Linear(weights(5, 20)), fire(5), shape=(20,)))
    return path


def test_files_that_are_no_nir_graph(file: Path, tmp_path: Path) -> None:
    assert read_foreign(file, Foreign(timesteps=2)).timesteps == 2
    with pytest.raises(InputError, match="there is no file"):
        read_foreign(tmp_path / "none.nir", Foreign(timesteps=2))
    (tmp_path / "text.nir").write_text("no")
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        read_foreign(tmp_path / "text.nir", Foreign(timesteps=2))
    nir.write(tmp_path / "node.nir", fire(3))
    with pytest.raises(InputError, match=r"not a NIR graph|not a graph"):
        read_foreign(tmp_path / "node.nir", Foreign(timesteps=2))
    with pytest.raises(NetworkError, match="timesteps"):
        read_foreign(file, Foreign(timesteps=0))


@pytest.mark.parametrize(
    ("version", "what"), [(None, "does not say its version"), ("2.0", "NIR '2.0'"), (3, "does not"), ("x", "'x'")]
)
def test_versions(file: Path, version: Any, what: str) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["version"]
        if version is not None:
            opened["version"] = version
    with pytest.raises(InputError, match=what):
        read_foreign(file, Foreign(timesteps=2))


def test_unknown_types_links_and_missing_fields(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["node/nodes/n1/type"]
        opened["node/nodes/n1/type"] = "__import__"
    with pytest.raises(InputError, match="not a NIR graph"):
        read_foreign(file, Foreign(timesteps=2))
    with h5py.File(file, "r+") as opened:
        del opened["node/nodes/n1"]
        opened["node/nodes/n1"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(InputError, match="link to somewhere else"):
        read_foreign(file, Foreign(timesteps=2))


def test_our_own_integer_files_are_told_apart(tmp_path: Path) -> None:
    network, _ = quantize(read(chain(nir.Linear(weights(5, 20)), fire(5), shape=(20,))))
    write_nir(network, tmp_path / "m.nir")
    with pytest.raises(InputError, match="quantized already"):
        read_foreign(tmp_path / "m.nir", Foreign(timesteps=2))
