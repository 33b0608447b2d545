"""Recurrent files as snnTorch and the NIR paper write them, over 256 steps of spikes, against plain numpy."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from kdsnn.export.foreign.convert import Foreign, read_foreign
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Network
from kdsnn.targets.reference import simulate
from tests.oracles import simulate_float

STEPS, DT = 256, 1e-4
INPUTS, HIDDEN, CLASSES = 12, 38, 7


def current_lif(n: int, alpha: float, beta: float, theta: float = 1.0) -> nir.CubaLIF:
    """In float32, as it is written: r and w_in cancel the time constants."""
    tau_syn, tau_mem = (np.full(n, DT / (1 - x), np.float32) for x in (alpha, beta))
    ones = np.ones(n, np.float32)
    return nir.CubaLIF(
        tau_syn, tau_mem, tau_mem / np.float32(DT), 0 * ones, theta * ones, 0 * ones, tau_syn / np.float32(DT)
    )


def written(path: Path, *, biases: bool, nested: bool) -> nir.NIRGraph:
    """Input -> fc1 -> lif1 with w_rec from itself to itself -> fc2 -> lif2 -> Output, flat or with a graph in it."""
    rng = np.random.default_rng(3)

    def linear(made: int, seen: int, gain: float) -> nir.NIRNode:
        weight = rng.normal(0, gain / np.sqrt(seen), (made, seen)).astype(np.float32)
        bias = rng.normal(0, 0.1, made).astype(np.float32)
        return nir.Affine(weight, bias) if biases else nir.Linear(weight)

    lif, loop = current_lif(HIDDEN, 0.55, 0.9), linear(HIDDEN, HIDDEN, 1.0)
    around: dict[str, Any] = {
        "input": nir.Input(np.array([INPUTS])),
        "fc1": linear(HIDDEN, INPUTS, 2.0),
        "fc2": linear(CLASSES, HIDDEN, 2.5),
        "lif2": current_lif(CLASSES, 0.5, 0.55),
        "output": nir.Output(np.array([CLASSES])),
    }
    ends = [("input", "fc1"), ("fc2", "lif2"), ("lif2", "output")]
    if nested:
        ports = {"input": nir.Input(np.array([HIDDEN])), "output": nir.Output(np.array([HIDDEN]))}
        inner = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
        lif1 = nir.NIRGraph({"lif": lif, "w_rec": loop, **ports}, inner, type_check=False)
        graph = nir.NIRGraph(around | {"lif1": lif1}, [*ends, ("fc1", "lif1"), ("lif1", "fc2")], type_check=False)
    else:
        edges = [("fc1", "lif1.lif"), ("lif1.lif", "lif1.w_rec"), ("lif1.w_rec", "lif1.lif"), ("lif1.lif", "fc2")]
        graph = nir.NIRGraph(around | {"lif1.lif": lif, "lif1.w_rec": loop}, ends + edges, type_check=False)
    nir.write(path, graph)
    return nir.read(path, type_check=False)


def simulated(graph: nir.NIRGraph, spikes: np.ndarray, reset: str) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of both populations, `(N, T, neurons)`, by the equations of NIR and snnTorch's resets."""
    nodes = dict(graph.nodes)
    if "lif1" in nodes:
        nodes |= {f"lif1.{name}": node for name, node in nodes["lif1"].nodes.items()}

    def through(name: str, x: np.ndarray) -> np.ndarray:
        return x @ np.float64(nodes[name].weight).T + np.float64(getattr(nodes[name], "bias", 0.0))

    class Layer:
        def __init__(self, node: nir.CubaLIF) -> None:
            self.theta = np.float64(node.v_threshold)
            self.kept_i, self.kept_v = (1 - DT / np.float64(tau) for tau in (node.tau_syn, node.tau_mem))
            self.gain_i = DT / np.float64(node.tau_syn) * np.float64(node.w_in)
            self.gain_v = DT / np.float64(node.tau_mem) * np.float64(node.r)
            self.i = self.v = self.sent = np.zeros((len(spikes), len(self.theta)))

        def step(self, drive: np.ndarray) -> np.ndarray:
            self.i = self.kept_i * self.i + self.gain_i * drive
            self.v = self.kept_v * self.v + self.gain_v * self.i
            if reset == "subtract":  # of the step before
                self.v = self.v - self.sent * self.theta
            self.sent = np.where(self.v > self.theta, 1.0, 0.0)
            if reset == "zero":
                self.v = np.where(self.sent > 0, 0.0, self.v)
            return self.sent

    first, second, made = Layer(nodes["lif1.lif"]), Layer(nodes["lif2"]), []
    for t in range(STEPS):
        hidden = first.step(through("fc1", spikes[:, t]) + through("lif1.w_rec", first.sent))
        made.append((hidden, second.step(through("fc2", hidden))))
    return tuple(np.stack(trains, axis=1) for trains in zip(*made, strict=True))  # type: ignore[return-value]


def shown(n: int = 12, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((n, STEPS, INPUTS)) < rng.uniform(0.02, 0.25, (n, 1, INPUTS))


def trains_of(network: Network, name: str, spikes: np.ndarray) -> np.ndarray:
    return simulate_float(network, (spikes * 255).astype(np.uint8))[name]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("biases", [False, True])
def test_spikes_are_those_of_the_equations(biases: bool, reset: Any, nested: bool, tmp_path: Path) -> None:
    graph = written(tmp_path / "net.nir", biases=biases, nested=nested)
    options = Foreign(STEPS, dt=DT, reset=reset, in_time=True)
    network = read_foreign(tmp_path / "net.nir", options)
    hidden, out = simulated(graph, shown(), reset)
    assert 0.02 < hidden.mean() < 0.9
    assert 0.02 < out.mean() < 0.9
    loops = [p.target for p in network.projections if p.recurrent]
    assert loops == [name for name in (p.name for p in network.spiking) if "lif1" in name and "steady" not in name]
    np.testing.assert_array_equal(trains_of(network, loops[0], shown()), hidden)
    np.testing.assert_array_equal(trains_of(network, "lif2", shown()), out)
    assert network.provenance["reset"] == reset
    doubt = network.provenance.get("doubt", "")
    assert ("RSynaptic drops its input" in doubt) == (reset == "zero")


def test_quantized_it_fires_nearly_as_often(tmp_path: Path) -> None:
    written(tmp_path / "net.nir", biases=True, nested=False)
    network = balance(read_foreign(tmp_path / "net.nir", Foreign(STEPS, dt=DT, reset="subtract", in_time=True)))
    frames = (shown(40, 8) * 255).astype(np.uint8)
    integer, report = quantize(network, input_bits=1, calibration=frames, method="spikes")
    assert integer.features >= {"input-in-time", "recurrence", "subtract-reset", "current", "leak"}
    spikes = (shown() * 255).astype(np.uint8)
    made, exact = simulate(integer, spikes)[0], simulate_float(network, spikes)
    for name in ("lif1.lif", "lif2"):
        wanted, counts = (trains[name].sum(axis=1, dtype=np.int64) for trains in (exact, made))
        assert abs(wanted.sum() - counts.sum()) < 0.02 * wanted.sum()
        assert np.abs(wanted - counts).sum() < 0.1 * wanted.sum()
    assert len(report.layers) == len(integer.spiking)
