"""Float NIR graphs to test with, their spikes by NIR's own equations, and those of a float network."""

from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
import torch.nn.functional as F

from kdsnn.export.foreign.convert import Foreign, from_graph
from kdsnn.network import Network
from tests.oracles import simulate_float

DT = 1e-3
STEPS = 8


# Two simulators: NIR's equations on the graph, and the float semantics on the network.


def simulate_graph(
    graph: nir.NIRGraph, images: np.ndarray, dt: float = DT, reset: str = "zero", *, in_time: bool = False
) -> np.ndarray:
    """What enters the Output, `(N, T, ...)`, from the graph's own equations, one Euler step a time step.

    What a neuron sends to nodes that lead back to it arrives one step later.
    """
    state: dict[Any, Any] = {"reset": reset}
    (start,) = (node for node in graph.nodes.values() if isinstance(node, nir.Input))
    sizes = tuple(map(int, start.input_type["input"]))
    shown = torch.from_numpy(images / 255)
    frames = [shown[:, t] for t in range(shown.shape[1])] if in_time else [shown] * STEPS
    return torch.stack([one_step(graph, x.reshape(-1, *sizes), state, (), dt) for x in frames], 1).numpy()


def one_step(graph: nir.NIRGraph, entering: Any, state: dict[Any, Any], inside: tuple[str, ...], dt: float) -> Any:
    """What enters the Output of a graph in a step, or of a graph in it."""
    edges, values = list(graph.edges), {}
    late = {(a, b) for a, b in edges if hasattr(graph.nodes[a], "v_threshold") and leads_to(edges, b, a)}
    before = {
        a: state.get((inside, a, "sent"), torch.zeros(len(entering), *graph.nodes[a].v_threshold.shape).double())
        for a, _ in late
    }
    for name in ordered(graph, late):
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            values[name] = entering
            continue
        x = sum(before[a] if (a, b) in late else values[a] for a, b in edges if b == name)
        if isinstance(node, nir.NIRGraph):
            values[name] = one_step(node, x, state, (*inside, name), dt)
        else:
            values[name] = step(node, x, state, (*inside, name), dt)
    state.update({(inside, a, "sent"): values[a] for a in before})
    return values[next(n for n, node in graph.nodes.items() if isinstance(node, nir.Output))]


def ordered(graph: nir.NIRGraph, late: Any = ()) -> list[str]:
    done: list[str] = []
    edges = [edge for edge in graph.edges if edge not in late]
    while len(done) < len(graph.nodes):
        done += [n for n in graph.nodes if n not in done and all(a in done for a, b in edges if b == n)]
    return done


def leads_to(edges: Any, start: str, end: str) -> bool:
    reached = {start}
    while more := {b for a, b in edges if a in reached} - reached:
        reached |= more
    return end in reached


def step(node: nir.NIRNode, x: Any, state: dict[Any, Any], name: Any, dt: float) -> Any:  # noqa: C901, PLR0911
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
    if isinstance(node, nir.IF | nir.I):
        v = old + of("r") * x
    elif isinstance(node, nir.LIF | nir.LI):
        v = old + dt / of("tau") * (of("v_leak") - old + of("r") * x)
    else:
        assert isinstance(node, nir.CubaLIF | nir.CubaLI)
        current = state.get((name, "I"), 0.0)
        current = current + dt / of("tau_syn") * (of("w_in") * x - current)
        state[name, "I"] = current
        v = old + dt / of("tau_mem") * (of("v_leak") - old + of("r") * current)
    if not hasattr(node, "v_threshold"):
        state[name] = v
        return v
    fired = v > of("v_threshold")
    left = {"zero": torch.where(fired, 0.0, v), "none": v, "subtract": v - fired * of("v_threshold")}
    state[name] = left[state.get("reset", "zero")]
    return fired.double()


# Graphs.


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
    return from_graph(graph, Foreign(**({"timesteps": STEPS, "dt": DT} | options)))


def frames(shape: tuple[int, ...] = (2, 8, 6), n: int = 12, seed: int = 7) -> np.ndarray:
    """Of 0 and 255, `(N, T, *shape)`."""
    return ((np.random.default_rng(seed).random((n, STEPS, *shape)) < 0.4) * 255).astype(np.uint8)


def check(graph: nir.NIRGraph, **options: Any) -> Network:
    """Reads the graph, and compares what enters its Output with the equations: potentials to rounding."""
    network = read(graph, **options)
    pixels = images(network.input.shape) if network.static else frames(network.input.shape)
    wanted = simulate_graph(graph, pixels, reset=options.get("reset") or "zero", in_time=not network.static)
    got = simulate_float(network, pixels)[network.output.name].reshape(wanted.shape)
    if network.readout == "membrane":
        assert wanted.std() > 0.1
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
        return network
    assert 0.03 < wanted.mean() < 0.97
    assert np.array_equal(got, wanted)
    return network


HEAD = (nir.Flatten(None, 0, -1), nir.Affine(weights(5, 3 * 48), np.linspace(-0.3, 0.3, 5)), fire(5))
