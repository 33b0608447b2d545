"""Float NIR graphs of others: the network's spikes are those of NIR's equations; what cannot be is refused by name."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import snntorch
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kdsnn.errors import InputError, LoweringError, NetworkError
from kdsnn.evaluate import check_same
from kdsnn.export.foreign import from_graph, read_foreign
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.export.quantize import quantize
from kdsnn.linear import apply
from kdsnn.network import Network
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget, simulate

DT = 1e-3
STEPS = 8


# Two simulators: NIR's equations on the graph, and the float semantics on the network.


def simulate_graph(graph: nir.NIRGraph, images: np.ndarray, dt: float = DT) -> np.ndarray:
    """The spikes that enter the Output, `(N, T, ...)`, from the graph's own equations, one Euler step a time step."""
    state: dict[Any, Any] = {}
    edges = list(graph.edges)
    order = ordered(graph)
    steps = []
    for _ in range(STEPS):
        values = {}
        for name in order:
            node = graph.nodes[name]
            if isinstance(node, nir.Input):
                values[name] = torch.from_numpy(images / 255).reshape(-1, *map(int, node.input_type["input"]))
            else:
                values[name] = step(node, sum(values[a] for a, b in edges if b == name), state, name, dt)
        steps.append(values[next(n for n, node in graph.nodes.items() if isinstance(node, nir.Output))])
    return torch.stack(steps, 1).numpy().astype(bool)


def ordered(graph: nir.NIRGraph) -> list[str]:
    done: list[str] = []
    while len(done) < len(graph.nodes):
        done += [n for n in graph.nodes if n not in done and all(a in done for a, b in graph.edges if b == n)]
    return done


def step(node: nir.NIRNode, x: Any, state: dict[Any, Any], name: str, dt: float) -> Any:  # noqa: C901, PLR0911
    def of(field: str) -> torch.Tensor:
        return torch.as_tensor(np.asarray(getattr(node, field), dtype=np.float64))

    match node:
        case nir.Conv2d():
            stride, dilation = (tuple(np.broadcast_to(v, 2).tolist()) for v in (node.stride, node.dilation))
            if isinstance(node.padding, str):
                total = [d * (k - 1) for d, k in zip(dilation, node.weight.shape[2:], strict=True)]
                (top, left), same = (n // 2 for n in total), node.padding == "same"
                x = F.pad(x, (left, total[1] - left, top, total[0] - top)) if same else x
            padding = 0 if isinstance(node.padding, str) else tuple(np.broadcast_to(node.padding, 2).tolist())
            return F.conv2d(x, of("weight"), of("bias"), stride, padding, dilation, int(node.groups))
        case nir.AvgPool2d() | nir.SumPool2d():
            kernel, stride, padding = (
                tuple(np.broadcast_to(v, 2).tolist()) for v in (node.kernel_size, node.stride, node.padding)
            )
            factor = np.prod(kernel) if isinstance(node, nir.SumPool2d) else 1
            return F.avg_pool2d(x, kernel, stride, padding) * factor
        case nir.Flatten() | nir.Output():
            return x.flatten(1) if isinstance(node, nir.Flatten) else x
        case nir.Affine():
            return x @ of("weight").T + of("bias")
        case nir.Linear():
            return x @ of("weight").T
        case nir.Scale():
            return x * of("scale")
    old = state.get(name, 0.0)
    if isinstance(node, nir.IF):
        v = old + of("r") * x
    elif isinstance(node, nir.LIF):
        v = old + dt / of("tau") * (of("v_leak") - old + of("r") * x)
    else:
        assert isinstance(node, nir.CubaLIF)
        current = state.get((name, "I"), 0.0)
        current = current + dt / of("tau_syn") * (of("w_in") * x - current)
        state[name, "I"] = current
        v = old + dt / of("tau_mem") * (of("v_leak") - old + of("r") * current)
    fired = v > of("v_threshold")
    state[name] = torch.where(fired, 0.0, v)
    return fired.double()


def simulate_network(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    u: dict[str, Any] = {p.name: 0.0 for p in network.spiking}
    v = dict(u)
    out = {p.name: np.zeros((len(images), network.timesteps, *p.shape), dtype=bool) for p in network.spiking}
    for t in range(network.timesteps):
        sent = {network.input.name: images.reshape(-1, *network.input.shape).astype(np.float64)}
        for p in network.spiking:
            u[p.name] = u[p.name] * (1 - p.model.decay_u)
            u[p.name] = u[p.name] + sum(apply(q.op, sent[q.source]) for q in network.incoming(p.name))
            v[p.name] = v[p.name] * (1 - p.model.decay_v) + u[p.name] + p.model.bias.reshape(p.shape)
            fired = v[p.name] > p.model.threshold
            v[p.name] = np.where(fired, 0.0, v[p.name])
            out[p.name][:, t] = fired
            sent[p.name] = fired.astype(np.float64)
    return out


# Graphs.

RNG = np.random.default_rng(0)


def weights(*shape: int, gain: float = 3.0) -> np.ndarray:
    fan_in = int(np.prod(shape[1:]))
    return np.random.default_rng(sum(shape) * 7 + len(shape)).normal(0, gain / np.sqrt(fan_in), shape)


def conv(c_out: int, c_in: int, kernel: tuple[int, int] = (3, 3), **options: Any) -> nir.Conv2d:
    groups = options.get("groups", 1)
    bias = np.linspace(-0.1, 0.2, c_out)
    known = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
    return nir.Conv2d(None, weights(c_out, c_in // groups, *kernel), bias=bias, **known)


def fire(*shape: int, theta: Any = 1.0) -> nir.IF:
    return nir.IF(np.ones(shape), np.broadcast_to(np.asarray(theta, dtype=np.float64), shape).copy())


def lif(*shape: int, tau: float = 5e-3, leak: float = 0.0) -> nir.LIF:
    full = np.ones(shape)
    return nir.LIF(tau=full * tau, r=full * tau / DT, v_leak=full * leak, v_threshold=full)


def cuba(*shape: int, tau_syn: float = 2e-3, tau_mem: float = 8e-3, leak: float = 0.0) -> nir.CubaLIF:
    full = np.ones(shape)
    return nir.CubaLIF(full * tau_syn, full * tau_mem, full * 4, full * leak, full * 0.9, w_in=1.3)


def chain(*nodes: nir.NIRNode, shape: tuple[int, ...] = (2, 8, 6), edges: Any = (), drop: Any = ()) -> nir.NIRGraph:
    """Input -> n0 -> n1 ... -> Output, with edges more or less."""
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    every = {"input": nir.Input(np.array(shape)), **named, "output": nir.Output(np.array([1]))}
    names = list(every)
    links = [e for e in pairwise(names) if e not in drop] + list(edges)
    return nir.NIRGraph(every, links, type_check=False)


def images(shape: tuple[int, ...] = (2, 8, 6), n: int = 12) -> np.ndarray:
    values = np.random.default_rng(5).integers(0, 256, (n, *shape))
    return np.where(np.random.default_rng(6).random(values.shape) < 0.4, 0, values).astype(np.uint8)


def read(graph: nir.NIRGraph, **options: Any) -> Network:
    return from_graph(graph, **({"timesteps": STEPS, "dt": DT} | options))


def check(graph: nir.NIRGraph, **options: Any) -> Network:
    """Reads the graph, and compares the spikes that enter its Output with the equations'."""
    network = read(graph, **options)
    pixels = images(network.input.shape)
    wanted = simulate_graph(graph, pixels)
    got = simulate_network(network, pixels)[network.output.name].reshape(wanted.shape)
    assert 0.03 < wanted.mean() < 0.97
    assert np.array_equal(got, wanted)
    return network


HEAD = (nir.Flatten(None, 0, -1), nir.Affine(weights(5, 3 * 48), np.linspace(-0.3, 0.3, 5)), fire(5))
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
    network = read_foreign(tmp_path / "model.nir", timesteps=STEPS, dt=DT)
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
    made = from_graph(first, timesteps=1, dt=DT)
    graph = chain(
        *(first.nodes["n0"], first.nodes["n1"], *pool, nir.Flatten(None, 0)),
        *(nir.Affine(weights(5, made.output.neurons), np.linspace(-0.1, 0.1, 5)), neuron()),
    )
    pixels = images(n=2)
    wanted = simulate_graph(graph, pixels)
    network = read(graph)
    assert np.array_equal(simulate_network(network, pixels)[network.output.name], wanted)


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
    assert np.array_equal(simulate_network(network, pixels)["n3"], simulate_graph(flat, pixels))


def test_infinite_tau_and_r_are_no_leak() -> None:
    """snnTorch's beta = 1."""
    endless = nir.LIF(*(np.full(5, np.inf),) * 2, v_leak=np.zeros(5), v_threshold=np.ones(5))
    network = read(chain(conv(3, 2, padding=1), fire(3, 8, 6), *HEAD[:2], endless), dt=None)
    pixels = images()
    got = simulate_network(network, pixels)["n4"]
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
    network = read(chain(conv2d, neuron, *head), dt=1e-4)
    assert 0.03 < own.mean() < 0.97
    assert np.array_equal(simulate_network(network, pixels)["n4"], own.detach().numpy().astype(bool))


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
        assert simulate_network(network, np.array([[1]], np.uint8))["n1"][0, :, 0].argmax() == first
        integer, _ = quantize(network)
        assert simulate(integer, np.array([[1]], np.uint8))["n1"][0, :, 0].any()
    whole = chain(nir.Linear(np.array([[1.0]])), fire(1, theta=3.0), shape=(1,))
    for fires_at, first in ((">", 3), (">=", 2)):
        integer, _ = quantize(read(whole, input_scale=1.0, fires_at=fires_at), input_bits=8)
        assert simulate(integer, np.array([[1]], np.uint8))["n1"][0, :, 0].argmax() == first


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
    assert np.array_equal(simulate_network(network, pixels)["n1"], simulate_graph(graph, pixels))
    assert read(chain(nir.Linear(weights(7, 48)), fire(7), shape=(1, 48))).input.shape == (48,)
    assert read(chain(nir.Linear(weights(7, 48)), fire(7), shape=(12, 48)), input_shape=(48,)).input.shape == (48,)
    for wrong in ((1, 8, 7), (49,)):
        with pytest.raises(InputError, match=r"'input'.*and an image"):
            read(graph, input_shape=wrong)
    with pytest.raises(InputError, match=r"'input'.*shape \(3, 5\).*\n.*--input-shape"):
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
    exact, made = simulate_network(network, pixels), simulate(integer, pixels)
    first = "n1"
    assert (exact[first] != made[first]).mean() < 0.02
    assert all((exact[name] != made[name]).mean() < 0.12 for name in exact)
    assert not any((exact[name] != made[name]).any() for name in exact if name.startswith("steady"))
    runs = [t.compile(integer).run(pixels, record="all") for t in (GpuTarget("cpu"), ReferenceTarget())]
    check_same(*runs)


def test_quantized_it_comes_back_from_our_own_files(tmp_path: Path) -> None:
    graph = chain(conv(3, 2), fire(3, 6, 4), nir.Flatten(None, 0), nir.Linear(weights(5, 72)), fire(5))
    hostile = {"output": "n1", "a_to_b": "n4"}
    back = {new: old for old, new in {v: k for k, v in hostile.items()}.items()}
    renamed = {old: new for new, old in back.items()}
    nodes = {renamed.get(name, name) if name != "output" else "o": node for name, node in graph.nodes.items()}
    edges = [tuple(renamed.get(n, "o" if n == "output" else n) for n in edge) for edge in graph.edges]
    integer, _ = quantize(read(nir.NIRGraph(nodes, edges, type_check=False)))
    write_nir(integer, tmp_path / "m.nir")
    assert read_nir(tmp_path / "m.nir").fingerprint() == integer.fingerprint()
    with pytest.raises(InputError, match="integer network that kdsnn wrote"):
        read_foreign(tmp_path / "m.nir", timesteps=STEPS)


# Refusals.

NAMED = {
    "Conv1d": nir.Conv1d(6, np.ones((3, 2, 3)), 1, 0, 1, 1, np.zeros(3)),
    "Delay": nir.Delay(np.ones((2, 8, 6))),
    "Threshold": nir.Threshold(np.ones((2, 8, 6))),
    "LI": nir.LI(*(np.ones((2, 8, 6)),) * 3),
    "CubaLI": nir.CubaLI(*(np.ones((2, 8, 6)),) * 4),
    "I": nir.I(np.ones((2, 8, 6))),
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
    "huge dilation": (broken_conv(padding="same", dilation=10**6 + 1, weight=np.ones((3, 2, 2, 2))), "cells"),
    "huge pool": (nir.AvgPool2d(10**6, 1, 0), "kernel_size"),
    "kernel beyond the image": (conv(3, 2, (9, 9)), "leaves nothing"),
    "linear": (nir.Linear(weights(5, 7)), "shape"),
    "scale": (nir.Scale(np.ones(5)), "shape"),
    "reset": (nir.IF(np.ones(1), np.ones(1), np.full(1, 0.5)), "v_reset is not zero"),
    "threshold 0": (fire(1, theta=0), "v_threshold is 0"),
    "threshold below 0": (fire(1, theta=-1), "v_threshold is -1"),
    "threshold nan": (fire(1, theta=np.nan), "v_threshold holds"),
    "threshold shape": (fire(7), "v_threshold has shape"),
    "thresholds within a channel": (fire(2, 8, 6, theta=np.linspace(1, 2, 6)), "differs within a channel"),
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


def test_a_bias_of_a_current_must_be_one_a_channel() -> None:
    padded = chain(conv(2, 2, padding=1), fire(2, 8, 6), nir.AvgPool2d(1, 1, 0), conv(3, 2, padding=1), cuba(3, 8, 6))
    read(padded)
    shifted = chain(nir.Affine(np.eye(96), RNG.random(96)), cuba(96), shape=(96,))
    assert [p.name for p in read(shifted).populations] == ["input", "steady_n1", "n1"]


def test_two_convolutions_without_a_neuron_are_refused_by_name() -> None:
    with pytest.raises(LoweringError, match=r"node 'n1' \(Conv2d\) cannot be lowered: two convolutions"):
        read(chain(conv(3, 2), conv(4, 3), fire(4, 4, 2)))


def test_paths_of_different_strides_are_refused_by_name() -> None:
    halved = chain(
        conv(3, 2, padding=1), fire(3, 8, 6), conv(3, 3, padding=1), fire(3, 8, 6), conv(3, 3, (1, 1)),
        nir.Scale(np.ones(1)), fire(3, 8, 6), edges=[("n1", "n5"), ("n3", "n6")],
    )  # fmt: skip
    check(halved)
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
    with pytest.raises(LoweringError, match=r"recurrent: ('n\d' -> ){3}'n\d'"):
        read(graph)
    with pytest.raises(LoweringError, match="recurrent: 'n1' -> 'n1'"):
        read(chain(conv(3, 2), fire(3, 6, 4), edges=[("n1", "n1")]))


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


def test_the_output_must_get_spikes() -> None:
    for graph in (
        chain(conv(3, 2)),
        chain(nir.Flatten(None, 0)),
        chain(conv(3, 2), fire(), conv(3, 3)),
        chain(conv(3, 2), fire(), nir.Scale(np.array(2.0))),
        chain(conv(3, 2, padding=1), fire(), conv(3, 3, padding=1), fire(), edges=[("n1", "output")]),
    ):
        with pytest.raises(LoweringError, match="not the spikes of one population"):
            read(graph)
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
    assert read_foreign(file, timesteps=2).timesteps == 2
    with pytest.raises(InputError, match="there is no file"):
        read_foreign(tmp_path / "none.nir", timesteps=2)
    (tmp_path / "text.nir").write_text("no")
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        read_foreign(tmp_path / "text.nir", timesteps=2)
    nir.write(tmp_path / "node.nir", fire(3))
    with pytest.raises(InputError, match=r"not a NIR graph|not a graph"):
        read_foreign(tmp_path / "node.nir", timesteps=2)
    with pytest.raises(NetworkError, match="timesteps"):
        read_foreign(file, timesteps=0)


@pytest.mark.parametrize(
    ("version", "what"), [(None, "does not say its version"), ("2.0", "NIR '2.0'"), (3, "does not"), ("x", "'x'")]
)
def test_versions(file: Path, version: Any, what: str) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["version"]
        if version is not None:
            opened["version"] = version
    with pytest.raises(InputError, match=what):
        read_foreign(file, timesteps=2)


def test_unknown_types_links_and_missing_fields(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["node/nodes/n1/type"]
        opened["node/nodes/n1/type"] = "__import__"
    with pytest.raises(InputError, match="not a NIR graph"):
        read_foreign(file, timesteps=2)
    with h5py.File(file, "r+") as opened:
        del opened["node/nodes/n1"]
        opened["node/nodes/n1"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(InputError, match="link to somewhere else"):
        read_foreign(file, timesteps=2)


def test_our_own_integer_files_are_told_apart(tmp_path: Path) -> None:
    network, _ = quantize(read(chain(nir.Linear(weights(5, 20)), fire(5), shape=(20,))))
    write_nir(network, tmp_path / "m.nir")
    with pytest.raises(InputError, match="quantized already"):
        read_foreign(tmp_path / "m.nir", timesteps=2)
