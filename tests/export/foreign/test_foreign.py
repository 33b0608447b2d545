"""Float NIR graphs of others: the network's spikes are those of NIR's equations."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kdsnn.errors import InputError, NetworkError
from kdsnn.evaluation import check_same
from kdsnn.export.foreign.convert import Foreign, from_graph, read_foreign
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.export.quantization.quantize import quantize
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget, simulate
from tests.export.foreign.foreign_graphs import (
    DT,
    HEAD,
    STEPS,
    chain,
    check,
    conv,
    cuba,
    fire,
    images,
    lif,
    read,
    simulate_graph,
    weights,
)
from tests.oracles import simulate_float

CASES: dict[str, nir.NIRGraph] = {
    "if": chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD),
    "lif": chain(conv(3, 2, padding=1), lif(3, 8, 6), *HEAD[:2], lif(5, leak=0.2)),
    "cuba": chain(conv(3, 2, padding=1), cuba(3, 8, 6), *HEAD[:2], cuba(5, leak=0.3)),
    "cuba downsampled": chain(
        conv(3, 2, stride=2), cuba(3, 3, 2), nir.Flatten(None, 0), nir.Linear(weights(5, 18)), cuba(5)
    ),
    "cuba upsampled": chain(
        conv(3, 2, padding=2), cuba(3, 10, 8), nir.Flatten(None, 0), nir.Linear(weights(5, 240)), fire(5)
    ),
    "scalar parameters": chain(conv(3, 2, padding=1), lif(), *HEAD[:2], lif(1)),
    "linear": chain(nir.Linear(weights(7, 20)), fire(7), nir.Linear(weights(4, 7)), fire(4), shape=(20,)),
    "same": chain(conv(3, 2, (3, 5), padding="same"), fire(3, 8, 6), *HEAD),
    "same, even and dilated": chain(conv(3, 2, (2, 4), padding="same", dilation=(3, 1)), fire(3, 8, 6), *HEAD),
    "valid": chain(
        conv(3, 2, padding="valid"), fire(3, 6, 4), nir.Flatten(None, 0), nir.Linear(weights(5, 72)), fire(5)
    ),
    "grouped": chain(
        conv(4, 2, groups=2, padding=1), fire(4, 8, 6), nir.Flatten(None, 0, 2), nir.Linear(weights(5, 192)), fire(5)
    ),
    "rectangular": chain(
        conv(3, 2, (1, 4), stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
        fire(3, 4, 4),
        nir.Flatten(None, 0),
        nir.Linear(weights(5, 48)),
        fire(5),
    ),
    "average pool": chain(
        conv(3, 2, padding=1),
        fire(3, 8, 6),
        nir.AvgPool2d(2, 2, 0),
        nir.Flatten(None, 0),
        nir.Linear(weights(5, 36)),
        fire(5),
    ),
    "sum pool": chain(
        conv(3, 2, padding=1),
        fire(3, 8, 6),
        nir.SumPool2d(np.array([3, 2]), np.array([2, 2]), np.array([1, 0])),
        conv(4, 3),
        fire(4, 2, 1),
        nir.Flatten({"input": np.array([1, 4, 2, 1])}, 1, -1),
        nir.Linear(weights(5, 8)),
        fire(5),
    ),
    "scales": chain(
        nir.Scale(np.array([1.7])),
        conv(3, 2, padding=1),
        nir.Scale(np.array([0.5, 1.0, 2.0]).reshape(3, 1, 1)),
        fire(3, 8, 6),
        nir.Flatten(None, 0),
        nir.Scale(np.linspace(0.5, 1.5, 144)),
        nir.Linear(weights(5, 144)),
        nir.Scale(np.linspace(0.5, 1.5, 5)),
        fire(5),
    ),
    "thresholds by channel": chain(
        conv(3, 2, padding=1),
        fire(3, 8, 6, theta=np.array([0.5, 1, 1.5]).reshape(3, 1, 1)),
        *HEAD[:2],
        fire(5, theta=1.25),
    ),
    "thresholds by neuron": chain(
        nir.Affine(weights(7, 20), np.full(7, 0.1)),
        fire(7, theta=np.linspace(0.5, 1.5, 7)),
        nir.Linear(weights(4, 7)),
        fire(4),
        shape=(20,),
    ),
    "two convolutions": chain(
        conv(3, 2), conv(4, 3), fire(4, 4, 2), nir.Flatten(None, 0), nir.Linear(weights(5, 32)), fire(5)
    ),
    "two padded convolutions": chain(conv(3, 2, padding=1), conv(3, 3, padding=1), fire(3, 8, 6), *HEAD),
    "depthwise and pointwise, either way": chain(
        *(conv(2, 2, padding=1, groups=2), conv(3, 2, (1, 1)), fire(3, 8, 6)),
        *(conv(3, 3, (1, 1)), conv(3, 3, groups=3, padding=1), fire(3, 8, 6), *HEAD),
    ),
    "padded convolution after a strided pool": chain(
        *(conv(3, 2), fire(3, 6, 4), nir.AvgPool2d(4, 3, 1), conv(4, 3, padding=1), fire(4, 2, 1)),
        *(nir.Flatten(None, 0), nir.Linear(weights(5, 8)), fire(5)),
    ),
    "scales and thresholds within a channel": chain(
        *(
            conv(3, 2, padding=1),
            nir.Scale(np.linspace(0.5, 1.5, 144).reshape(3, 8, 6)),
            fire(3, 8, 6, theta=np.linspace(1, 2, 6)),
        ),
        *(conv(3, 3, padding=1), cuba(3, 8, 6), *HEAD),
    ),
    "a current with a drive that differs within a channel": chain(
        *(conv(2, 2, padding=1), fire(2, 8, 6), conv(2, 2, (1, 1)), conv(3, 2, padding=1), cuba(3, 8, 6), *HEAD),
    ),
    "a matrix and a convolution into one population": chain(
        *(conv(3, 2, padding=1), fire(3, 8, 6), conv(3, 3, padding=1), fire(3, 8, 6)),
        *(conv(3, 3, padding=1), conv(3, 3, padding=1), fire(3, 8, 6), *HEAD),
        edges=[("n1", "n6")],
    ),
    "paths of two strides": chain(
        *(conv(3, 2, padding=1), fire(3, 8, 6), conv(4, 3, stride=2, padding=1), fire(4, 4, 3), conv(4, 3, (5, 4))),
        *(nir.Flatten(None, 0), nir.Linear(weights(5, 48)), fire(5)),
        edges=[("n1", "n4"), ("n4", "n3"), ("n3", "n5")],
        drop=[("n3", "n4"), ("n4", "n5")],
    ),
    "residual": chain(
        conv(3, 2, padding=1), fire(3, 8, 6), conv(3, 3, padding=1), fire(3, 8, 6), *HEAD, edges=[("n1", "n4")]
    ),
    "residual into one neuron": chain(
        conv(3, 2, padding=1), fire(3, 8, 6), conv(3, 3, padding=1), fire(3, 8, 6), *HEAD, edges=[("n1", "n3")]
    ),
    "residual without its own neuron, flat": chain(
        conv(3, 2, padding=1),
        fire(3, 8, 6),
        nir.Flatten(None, 0),
        nir.Linear(weights(144, 144)),
        fire(144),
        nir.Linear(weights(5, 144)),
        fire(5),
        edges=[("n2", "n4")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_network_fires_as_the_equations_do(case: str) -> None:
    check(CASES[case])


@pytest.mark.parametrize("case", ["lif", "cuba", "grouped", "same", "sum pool", "scales"])
def test_so_does_the_file(tmp_path: Path, case: str) -> None:
    graph = CASES[case]
    for node in graph.nodes.values():
        if isinstance(node, nir.Flatten) and node.input_type["input"] is None:
            node.input_type = {"input": np.array([3, 8, 6])}  # as nir infers it; nir cannot write its absence
        if isinstance(node, nir.Conv2d):
            node.input_shape = (8, 6)
    nir.write(tmp_path / "model.nir", graph)
    network = read_foreign(tmp_path / "model.nir", Foreign(timesteps=STEPS, dt=DT))
    assert network.fingerprint() == read(graph).fingerprint()
    assert network.name == "model"


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_random_chains(data: st.DataObject) -> None:
    """Any geometry of a convolution, any neuron, then pooling or not."""
    draw = data.draw
    groups = draw(st.sampled_from([1, 2]))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    same = draw(st.booleans())
    options = {"dilation": (draw(st.integers(1, 2)), draw(st.integers(1, 2)))}
    if same:
        options |= {"padding": "same"}
    else:
        options |= {"padding": (draw(st.integers(0, 2)), draw(st.integers(1, 2))), "stride": draw(st.integers(1, 2))}
    neuron = draw(st.sampled_from([fire, lif, cuba]))
    pool = [nir.AvgPool2d(1, 1, 0)] if draw(st.booleans()) else []
    first = chain(conv(4, 2, kernel, groups=groups, **options), neuron())
    made = from_graph(first, Foreign(timesteps=1, dt=DT))
    graph = chain(
        *(first.nodes["n0"], first.nodes["n1"], *pool, nir.Flatten(None, 0)),
        *(nir.Affine(weights(5, made.output.neurons), np.linspace(-0.1, 0.1, 5)), neuron()),
    )
    pixels = images(n=2)
    wanted = simulate_graph(graph, pixels)
    network = read(graph)
    assert np.array_equal(simulate_float(network, pixels)[network.output.name], wanted)


# What a file leaves open.


def test_a_nested_graph_is_the_flat_one() -> None:
    flat = CASES["if"]
    inner = nir.NIRGraph(
        {
            "in": nir.Input(np.array([2, 8, 6])),
            "0": flat.nodes["n0"],
            "1": flat.nodes["n1"],
            "out": nir.Output(np.array([1])),
        },
        [("in", "0"), ("0", "1"), ("1", "out")],
        type_check=False,
    )
    middle = nir.NIRGraph(
        {"i": nir.Input(np.array([2, 8, 6])), "block": inner, "o": nir.Output(np.array([1]))},
        [("i", "block"), ("block", "o")],
        type_check=False,
    )
    network = read(chain(middle, *HEAD))
    assert [p.name for p in network.populations] == ["input", "n0_block_1", "n3"]
    pixels = images()
    assert np.array_equal(simulate_float(network, pixels)["n3"], simulate_graph(flat, pixels))


def test_infinite_tau_and_r_are_no_leak() -> None:
    """snnTorch's beta = 1."""
    endless = nir.LIF(*(np.full(5, np.inf),) * 2, v_leak=np.zeros(5), v_threshold=np.ones(5))
    network = read(chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD[:2], endless), dt=None)
    pixels = images()
    got = simulate_float(network, pixels)["n4"]
    assert network.output.model.decay_v == 0
    assert np.array_equal(got, simulate_graph(CASES["if"], pixels))
    memory = nir.CubaLIF(*(np.full(5, np.inf),) * 3, np.zeros(5), np.full(5, 40.0), w_in=np.inf)
    model = read(chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD[:2], memory), dt=None).output.model
    assert (model.decay_u, model.decay_v) == (0, 0)


@pytest.mark.parametrize("beta", [0.9, 0.5, 1.0])
def test_what_snntorch_writes_fires_as_snntorch_does(beta: float) -> None:
    """Its numbers, in float32, as `snntorch.export_nir` makes them; test_foreign_peers.py has the writer itself."""
    first, last = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(144, 5)
    for layer, like in ((first, CASES["if"].nodes["n0"]), (last, CASES["if"].nodes["n3"])):
        layer.weight.data, layer.bias.data = (torch.from_numpy(v).float() for v in (like.weight, like.bias))
    options = {"beta": beta, "reset_mechanism": "zero", "init_hidden": True}
    net = nn.Sequential(first, snntorch.Leaky(**options), nn.Flatten(), last, snntorch.Leaky(**options))
    pixels = images()
    own = torch.stack([net(torch.from_numpy(pixels / 255).float()) for _ in range(STEPS)], 1)
    tau = np.divide(1e-4, 1 - np.float32(beta), dtype=np.float32) if beta < 1 else np.float32(np.inf)
    neuron = nir.LIF(*(np.array(v, dtype=np.float32) for v in (tau, tau / 1e-4, 0, 1)))
    head = (nir.Flatten(None, 0), nir.Affine(last.weight.detach(), last.bias.detach()), neuron)
    conv2d = nir.Conv2d(None, first.weight.detach(), (1, 1), (1, 1), (1, 1), 1, first.bias.detach())
    network = read(chain(conv2d, neuron, *head), dt=1e-4, reset="zero")
    assert 0.03 < own.mean() < 0.97
    assert np.array_equal(simulate_float(network, pixels)["n4"], own.detach().numpy().astype(bool))


def test_the_time_step_is_asked_for_where_it_matters() -> None:
    with pytest.raises(InputError, match=r"node 'n1' \(LIF\): it leaks.*\n.*--dt.*tau / r is 0.001"):
        read(CASES["lif"], dt=None)
    with pytest.raises(InputError, match=r"node 'n1' \(CubaLIF\): it leaks"):
        read(CASES["cuba"], dt=None)
    assert read(CASES["if"], dt=None).fingerprint() == read(CASES["if"]).fingerprint()


def test_r_of_an_if_is_a_step_or_counted_in_seconds() -> None:
    per_second = chain(conv(3, 2, padding=1), nir.IF(np.full((1,), 1e4), np.ones(1)), *HEAD)
    with pytest.raises(InputError, match=r"node 'n1' \(IF\): its r is 10000.*\n.*--dt, for example 0.0001"):
        read(per_second, dt=None)
    assert read(per_second, dt=1e-4).fingerprint() == read(CASES["if"]).fingerprint()
    doubled = chain(conv(3, 2, padding=1), nir.IF(np.full((1,), 2.0), np.ones(1)), *HEAD)
    check(doubled, dt=1.0)


def test_a_tie_fires_where_the_writer_says_so() -> None:
    graph = chain(nir.Linear(np.array([[0.25]])), fire(1), shape=(1,))
    for fires_at, first in ((">", 4), (">=", 3)):
        network = read(graph, input_scale=1.0, fires_at=fires_at)
        assert simulate_float(network, np.array([[1]], np.uint8))["n1"][0, :, 0].argmax() == first
        integer, _ = quantize(network)
        assert simulate(integer, np.array([[1]], np.uint8))[0]["n1"][0, :, 0].any()
    whole = chain(nir.Linear(np.array([[1.0]])), fire(1, theta=3.0), shape=(1,))
    for fires_at, first in ((">", 3), (">=", 2)):
        integer, _ = quantize(read(whole, input_scale=1.0, fires_at=fires_at), input_bits=8)
        assert simulate(integer, np.array([[1]], np.uint8))[0]["n1"][0, :, 0].argmax() == first


def test_exact_solution() -> None:
    network = read(CASES["lif"], solve="exact")
    assert network.output.model.decay_v == pytest.approx(1 - np.exp(-DT / 5e-3))


def test_input_scale_folds_into_the_first_weights() -> None:
    one, other = read(CASES["if"]), read(CASES["if"], input_scale=1.0)
    a, b = (n.incoming("n1")[0].op.weight for n in (one, other))
    np.testing.assert_allclose(a * 255, b)
    assert np.array_equal(one.incoming("n4")[0].op.weight, other.incoming("n4")[0].op.weight)


def test_a_flat_input_takes_images() -> None:
    graph = chain(nir.Linear(weights(7, 48)), fire(7), shape=(48,))
    network = read(graph, input_shape=(1, 8, 6))
    assert network.input.shape == (1, 8, 6)
    pixels = images((1, 8, 6))
    assert np.array_equal(simulate_float(network, pixels)["n1"], simulate_graph(graph, pixels))
    assert read(chain(nir.Linear(weights(7, 48)), fire(7), shape=(1, 48))).input.shape == (48,)
    assert read(chain(nir.Linear(weights(7, 48)), fire(7), shape=(12, 48)), input_shape=(48,)).input.shape == (48,)
    for wrong in ((1, 8, 7), (49,)):
        with pytest.raises(InputError, match=r"'input'.*and an image"):
            read(graph, input_shape=wrong)
    with pytest.raises(InputError, match=r"'input'.*shape \(3, 5\).*\n.*--calibrate"):
        read(chain(fire(3), shape=(3, 5)))


def test_labels() -> None:
    assert read(CASES["if"]).labels == ("0", "1", "2", "3", "4")
    assert read(CASES["if"], labels=list("abcde")).labels == tuple("abcde")
    with pytest.raises(NetworkError, match="5 output neurons do not match 2 labels"):
        read(CASES["if"], labels=["a", "b"])


@pytest.mark.parametrize(
    "options",
    [
        {"dt": 0.0},
        {"dt": np.nan},
        {"dt": -1.0},
        {"input_scale": 0.0},
        {"input_scale": np.inf},
        {"fires_at": "="},
        {"solve": "no"},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        read(CASES["if"], **options)


# To integers and onto a target.


@pytest.mark.parametrize("case", ["if", "lif", "cuba", "residual"])
def test_quantized_it_runs_on_targets(case: str) -> None:
    """Spikes differ from the float network's only by the rounding of 8-bit weights and 12-bit decays.

    That moves about one spike in a hundred of the first population; the random weights after it pass on each of those
    to neurons that are often near their threshold, so deeper populations differ in more.
    """
    network = read(CASES[case])
    integer, _ = quantize(network, calibration=images(network.input.shape, 32))
    pixels = images(network.input.shape, 40)
    exact, made = simulate_float(network, pixels), simulate(integer, pixels)[0]
    first = "n1"
    assert (exact[first] != made[first]).mean() < 0.02
    assert all((exact[name] != made[name]).mean() < 0.12 for name in exact)
    assert not any((exact[name] != made[name]).any() for name in exact if name.startswith("steady"))
    runs = [t.compile(integer).run(pixels, record="all") for t in (GpuTarget("cpu"), ReferenceTarget())]
    check_same(*runs)


def test_quantized_it_comes_back_from_our_own_files(tmp_path: Path) -> None:
    """Names that our writer gives to nodes of its own, too."""
    nodes = {
        "in": nir.Input(np.array([2, 8, 6])),
        "conv": conv(3, 2),
        "output": fire(3, 6, 4),
        "flat": nir.Flatten(None, 0),
        "linear": nir.Linear(weights(5, 72)),
        "a_to_b": fire(5),
        "end": nir.Output(np.array([5])),
    }
    integer, _ = quantize(read(nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)))
    write_nir(integer, tmp_path / "m.nir")
    assert read_nir(tmp_path / "m.nir").fingerprint() == integer.fingerprint()
    with pytest.raises(InputError, match="integer network that kdsnn wrote"):
        read_foreign(tmp_path / "m.nir", Foreign(timesteps=STEPS))
