"""Runs the integer NIR files of kdsnn in the simulators of others, and writes what they make of them.

`uv run --group peers python docs/interchange.py [--check]`; with --check a page that is not fresh is an error.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from fresh import write_or_check

from kdsnn.export.nir import write_nir
from kdsnn.network import MEMBRANE_SHIFT, Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.reference import simulate
from kdsnn.testing.networks import integrating

PAGE = Path(__file__).parent / "interchange.md"
INTRODUCTION = """<!-- Made by docs/interchange.py: edit it, not this page. -->

# Our NIR files in other simulators

`model.nir` is a plain NIR graph: integer weights in float32, `IF` with r = 1, a reset to zero, one step a time step,
and thresholds between two possible potentials, so that `>` and `>=` fire alike. Show it `pixel >> (8 - input_bits)` at
every step, from rest, and a simulator that keeps NIR's meaning computes the spikes of our reference, bit for bit.

Each cell was found by running the simulator's own importer on {images} images, {steps} steps: **same** means that every
spike of the output layer (of an `I`, every potential after the last step) is equal; else the share of outputs that
differ, or the importer's own words.

"""
AFTER = """
A decay has 12 bits, and the hardware rounds towards zero after each step; NIR cannot say that, so a file with a leak is
promised to be the same on our targets only, even where it happens to be the same in this table.

Why some differ, as far as their code shows (releases as above):

- snnTorch reads an `IF` as `Leaky` with beta 0.9 and a reset by subtraction, whose state its graph hands to the next
  layer; it reads leaks for a step of 1e-4 s only.
- sinabs lets a neuron fire several times a step, resets by subtraction, and cuts potentials off at minus the threshold.
- norse takes no notice of the r of a `LIF`. Its `Flatten` and snnTorch's know no batch: they got images one by one.
- norse and sinabs run graphs by nirtorch's older executor, which visits them depth first: a layer that two paths enter
  runs when the first has come.
- spikingjelly is told `dt=1`; it takes no grouped convolutions.

What a simulator cannot read it says; what it misreads it does not: compare spikes before you trust a file.
"""
STEPS, IMAGES = 6, 40
Reader = Callable[[nir.NIRGraph, torch.Tensor], np.ndarray]


# The networks.


def conv(rng: np.random.Generator, c_in: int, c_out: int, groups: int = 1, **options: Any) -> Conv2d:
    """A 3x3 convolution of random 8-bit weights."""
    weight = rng.integers(-100, 101, (c_out, c_in // groups, 3, 3)).astype(np.int16)
    return Conv2d(weight, padding=(1, 1), groups=groups, **options)


def neuron(neurons: int, threshold: int, bias: int = 0, decay_u: int = 4096, decay_v: int = 0) -> Neuron:
    """Of a population with one bias for all."""
    return Neuron(threshold, np.full(neurons, bias * 64, np.int32), 0, decay_u, decay_v)


def network(
    *,
    bias: int = 0,
    groups: int = 1,
    pool: bool = False,
    residual: bool = False,
    decay_u: int = 4096,
    decay_v: int = 0,
) -> Network:
    """Two convolutions and a dense layer, with what is asked for."""
    rng = np.random.default_rng(0)
    made: list[Population] = [Population("input", (1, 8, 8), Input(8))]
    links: list[Projection] = []

    def add(name: str, shape: tuple[int, ...], threshold: int, *ops: tuple[str, Conv2d | Dense]) -> None:
        leak = (4096, 0) if name == "pool" else (decay_u, decay_v)
        size = int(np.prod(shape))
        made.append(Population(name, shape, neuron(size, threshold, 0 if name == "pool" else bias, *leak)))
        links.extend(Projection(source, name, op) for source, op in ops)

    add("if1", (4, 8, 8), 20_000, ("input", conv(rng, 1, 4)))
    last, size = "if1", 8
    if pool:
        add("pool", (4, 4, 4), 0, ("if1", Conv2d(np.ones((4, 1, 2, 2), np.int16), (2, 2), groups=4)))
        last, size = "pool", 4
    add("if2", (4, size, size), 150, (last, conv(rng, 4, 4, groups)))
    if residual:
        one = Conv2d(np.full((4, 1, 1, 1), 100, np.int16), groups=4) if groups > 1 else conv(rng, 4, 4)
        add("if3", (4, size, size), 200, ("if2", conv(rng, 4, 4)), (last, one))
        last = "if3"
    else:
        last = "if2"
    dense = Dense(rng.integers(-100, 101, (5, 4 * size * size)).astype(np.int16))
    add("if4", (5,), 300, (last, dense))
    return Network("interchange", tuple(made), tuple(links), STEPS, tuple("01234"), integer=True)


NETWORKS = {
    "convolutions and dense layers of IF": network(),
    "with biases": network(bias=37),
    "with a residual sum": network(residual=True),
    "with grouped convolutions": network(groups=2),
    "with max-pooling (`SumPool2d`, threshold 0)": network(pool=True),
    "with a leak (`LIF`)": network(decay_v=512),
    "with a current (`CubaLIF`)": network(decay_u=2048, decay_v=512),
    "with an output that integrates (`I`)": integrating(network()),
}


# The simulators.


def one_by_one(make: Callable[[], Any], images: torch.Tensor) -> np.ndarray:
    """For importers whose `Flatten` knows no batch: each image alone, without a batch dimension, on a new network."""
    return np.stack([stepped(make(), image) for image in images])


def stepped(net: Any, images: torch.Tensor) -> np.ndarray:
    """Output spikes `(..., T, classes)` of a module that hands its state on."""
    state, out = None, []
    for _ in range(STEPS):
        made, state = net(images, state)
        out.append((made[0] if isinstance(made, tuple) else made).reshape((*images.shape[:-3], -1)).numpy())
    return np.stack(out, -2)


def by_snntorch(graph: nir.NIRGraph, images: torch.Tensor) -> np.ndarray:
    """`snntorch.import_nir`."""
    from snntorch.import_nir import import_from_nir

    return one_by_one(lambda: import_from_nir(graph), images)


def by_norse(graph: nir.NIRGraph, images: torch.Tensor) -> np.ndarray:
    """`norse.torch.from_nir`, one step a dt."""
    from norse.torch import from_nir

    return one_by_one(lambda: from_nir(graph, ignore_warnings=True, dt=1.0), images)


def by_sinabs(graph: nir.NIRGraph, images: torch.Tensor) -> np.ndarray:
    """`sinabs.nir.from_nir`, whose layers take `(N * T, ...)`."""
    from sinabs.nir import from_nir

    made, _ = from_nir(graph, num_timesteps=STEPS)(images.repeat_interleave(STEPS, 0))
    spikes: np.ndarray = made.reshape(-1, STEPS, 5).numpy()
    return spikes


def by_spikingjelly(graph: nir.NIRGraph, images: torch.Tensor) -> np.ndarray:
    """`spikingjelly.activation_based.nir_exchange.import_from_nir`, one step a dt."""
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return stepped(import_from_nir(graph, dt=1.0), images)


READERS: dict[str, Reader] = {
    "norse": by_norse,
    "sinabs": by_sinabs,
    "snntorch": by_snntorch,
    "spikingjelly": by_spikingjelly,
}


def outcome(model: Network, reader: Reader) -> str:
    """What a simulator makes of a network's file."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (IMAGES, *model.input.shape)).astype(np.uint8)
    trains, potentials = simulate(model, images)
    before = trains[model.spiking[-2].name] if model.readout == "membrane" else trains[model.output.name]
    if not 0.05 < before.mean() < 0.95:
        raise ValueError(f"a network that fires at {before.mean()} of all steps shows nothing")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        write_nir(model, Path(folder) / "model.nir")
        try:
            graph = nir.read(Path(folder) / "model.nir", type_check=False)
            got = reader(graph, torch.from_numpy(images).float())
        except Exception as error:  # noqa: BLE001  whatever it is, it is the answer
            return f"refused: {type(error).__name__}: {' '.join(str(error).split())[:60]}"
    if model.readout == "membrane":  # of an integrator, a simulator puts out the potential
        wanted, got = potentials / 2**MEMBRANE_SHIFT, got[:, -1]
    else:
        wanted = trains[model.output.name]
    if got.shape != wanted.shape:
        return f"output of shape {got.shape}, not {wanted.shape}"
    differ = (got != wanted).mean()
    return f"{100 * differ:.0f} % differ" if differ else "**same**"


@contextlib.contextmanager
def quiet() -> Any:
    """Some importers print."""
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        yield


def page() -> str:
    """The page, made by running everything."""
    names = [f"{name} {version(name)}" for name in READERS]
    rows = [f"| network | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for what, model in NETWORKS.items():
        rows.append(f"| {what} | {' | '.join(outcome(model, reader) for reader in READERS.values())} |")
    return INTRODUCTION.format(images=IMAGES, steps=STEPS) + "\n".join(rows) + "\n" + AFTER


if __name__ == "__main__":
    write_or_check({PAGE: page()}, "uv run --group peers python docs/interchange.py")
