"""Counts the SynOps of one layer on the same spikes as others count them, and writes what each finds.

`uv run --group peers python docs/definitions.py [--check]`; with --check a page that is not fresh is an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fresh import write_or_check
from torch import nn

from kdsnn.network import Conv2d, Dense, Input, Network, Neuron, Population, Projection
from kdsnn.network.counters import LayerCounts
from kdsnn.targets.reference import ReferenceTarget

PAGE = Path(__file__).with_name("synops.md")
STEPS, IMAGES = 4, 5
INTRODUCTION = """<!-- Made by docs/definitions.py: edit it, not this page. -->

# What a synaptic operation is, and to whom

"SynOps" has no single meaning. Here one layer at a time is shown the same {images} samples of {steps} steps, and each
tool counts as it does; the figures are per sample. Ours are two: `synops_dense` counts every synapse that a spike
reaches, `synops_effective` leaves out weights of zero. Borders, stride and groups count as they are, a bias is no
synapse, and grey levels are multiply-accumulates, apart. **Bold** is one of ours, to the last operation.

"""
AFTER = """
What explains the others, as far as their code shows (releases as above):

- **sinabs** counts every synapse of every spike, borders as they are: our dense count. Grey levels count by their
  value.
- **NeuroBench** leaves out weights of zero: our effective count; its `Dense` is that of all inputs, silent ones too. It
  decides between accumulate and multiply-accumulate by whether a batch holds other values than -1, 0 and 1.
- **spikingjelly** counts what binary inputs reach in matrix products and convolutions; of inputs that are not binary it
  counts nothing.
- **syops-counter** multiplies the layer's operations, as if no border cut any, and its bias by the mean rate of its
  input. Inputs that are not zeros and ones count in full, as multiply-accumulates: an average pool, or a sum of two
  spike trains, before a layer makes it dense.
- **snn_toolbox** (0.6.0) was not run, for it counts on Keras models. By its code (`snntoolbox/parsing/utils.py`,
  `get_fanout`) a spike costs kernel size times filters at stride 1, borders or not, and at other strides what an array
  of connections says; into a dense layer, its units.

So a figure of SynOps says little without its definition, and figures of two tools can be compared only where no border,
bias, pool, group or grey level is in the way. `kdsnn energy` says with each model which count it multiplies.
"""


Layer = nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class Case:
    """A layer, and what it is shown: `inputs` `(N, T, *shape)`, as torch takes them."""

    layer: Layer
    inputs: torch.Tensor

    @property
    def flat(self) -> torch.Tensor:
        """The inputs `(N T, *shape)`."""
        return self.inputs.flatten(0, 1)

    def per_sample(self, total: float) -> float:
        """A sum over all samples and steps, as a mean of samples."""
        return total / len(self.inputs)


def spikes(*shape: int, rate: float = 0.3) -> torch.Tensor:
    """Random spikes of all samples and steps."""
    return (torch.rand(IMAGES, STEPS, *shape, generator=torch.Generator().manual_seed(1)) < rate).float()


def with_zeros(layer: Layer) -> Layer:
    """The layer with half of its weights zero, the others small whole numbers."""
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 50, tuple(layer.weight.shape)) * (rng.random(tuple(layer.weight.shape)) < 0.5)
    layer.weight.data = torch.from_numpy(weight).float()
    layer.requires_grad_(requires_grad=False)
    return layer


def cases() -> dict[str, Case]:
    """What is counted."""
    uneven = spikes(2, 8, 8)
    uneven[0] = 0
    pooled = nn.AvgPool2d(2)(spikes(2, 16, 16).flatten(0, 1)).unflatten(0, (IMAGES, STEPS))
    grey = torch.randint(0, 256, (IMAGES, 1, 2, 8, 8), generator=torch.Generator().manual_seed(2)).float()
    conv = nn.Conv2d(2, 4, 3, bias=False)
    return {
        "dense, no bias": Case(with_zeros(nn.Linear(40, 10, bias=False)), spikes(40)),
        "dense, with a bias": Case(with_zeros(nn.Linear(40, 10)), spikes(40)),
        "3x3 convolution, no padding": Case(with_zeros(conv), spikes(2, 8, 8)),
        "3x3 convolution, padding 1": Case(with_zeros(nn.Conv2d(2, 4, 3, padding=1, bias=False)), spikes(2, 8, 8)),
        "3x3 convolution, stride 2": Case(with_zeros(nn.Conv2d(2, 4, 3, stride=2, bias=False)), spikes(2, 8, 8)),
        "3x3 convolution, 2 groups": Case(with_zeros(nn.Conv2d(2, 4, 3, groups=2, bias=False)), spikes(2, 8, 8)),
        "the first sample silent": Case(with_zeros(nn.Conv2d(2, 4, 3, bias=False)), uneven),
        "after an average pool": Case(with_zeros(nn.Conv2d(2, 4, 3, bias=False)), pooled),
        "grey levels": Case(with_zeros(nn.Conv2d(2, 4, 3, bias=False)), grey.expand(-1, STEPS, -1, -1, -1)),
    }


def ours(case: Case) -> LayerCounts | None:
    """What the reference counts; None where the input is no message: the mean that a pool makes lies in the weights."""
    values = case.inputs.numpy()
    if (values != np.rint(values)).any():
        return None
    bits = 1 if values.max() <= 1 else 8
    frames = values.astype(np.uint8) * (255 if bits == 1 else 1)
    layer, shape = case.layer, tuple(values.shape[2:])
    weight = layer.weight.numpy().astype(np.int64)
    op: Conv2d | Dense = Dense(weight)
    if isinstance(layer, nn.Conv2d):
        stride, padding, dilation = (_pair(pair) for pair in (layer.stride, layer.padding, layer.dilation))
        op = Conv2d(weight, stride, padding, dilation, layer.groups)
    out = op.output_shape(shape)
    neuron = Neuron(threshold=100_000, bias=np.zeros(int(np.prod(out)), dtype=np.int64))
    populations = (Population("input", shape, Input(bits, static=False)), Population("out", out, neuron))
    labels = tuple(map(str, range(int(np.prod(out)))))
    network = Network("one layer", populations, (Projection("input", "out", op),), STEPS, labels, integer=True)
    (counted,) = ReferenceTarget().compile(network).run(frames).counts.layers
    return counted


def _pair(value: Any) -> tuple[int, int]:
    height, width = value
    return int(height), int(width)


def by_sinabs(case: Case) -> str:
    """`sinabs.hooks`: synaptic operations a step, a mean over samples and steps."""
    from sinabs.hooks import conv_layer_synops_hook, linear_layer_synops_hook

    hook = conv_layer_synops_hook if isinstance(case.layer, nn.Conv2d) else linear_layer_synops_hook
    handle = case.layer.register_forward_hook(hook)
    case.layer(case.flat)
    handle.remove()
    found: Any = case.layer.hook_data
    return _shown(STEPS * float(found["layer_synops_per_timestep"]))


def by_neurobench(case: Case) -> str:
    """`neurobench.metrics.workload.SynapticOperations`: the operations of one layer, as it asks for them."""
    from neurobench.metrics.utils.layers import single_layer_MACs

    effective, spiking = single_layer_MACs(case.flat, case.layer)
    return _shown(case.per_sample(effective)) + ("" if spiking else " MACs")


def by_spikingjelly(case: Case) -> str:
    """`spikingjelly.activation_based.op_counter.SynOpCounter`."""
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    counter = SynOpCounter()
    with DispatchCounterMode([counter]):
        case.layer(case.flat)
    return _shown(case.per_sample(counter.get_total()))


def by_syops(case: Case) -> str:
    """`syops.ops`: the hook of the layer's type; operations, accumulates and multiply-accumulates.

    It looks for neurons of older releases of spikingjelly; no layer here is one, so that names alone will do.
    """
    from spikingjelly.activation_based import neuron

    for name in ("MultiStepIFNode", "MultiStepLIFNode", "MultiStepParametricLIFNode"):
        if not hasattr(neuron, name):
            setattr(neuron, name, type(name, (nn.Module,), {}))
    from syops.ops import conv_syops_counter_hook, linear_syops_counter_hook

    layer: Any = case.layer
    layer.__syops__ = np.zeros(4)
    hook = conv_syops_counter_hook if isinstance(case.layer, nn.Conv2d) else linear_syops_counter_hook
    hook(layer, (case.flat,), layer(case.flat))
    _, accumulates, multiplies, _ = layer.__syops__
    return _shown(case.per_sample(accumulates or multiplies)) + (" MACs" if multiplies else "")


COUNTERS: dict[str, Callable[[Case], str]] = {
    "sinabs": by_sinabs,
    "neurobench": by_neurobench,
    "spikingjelly": by_spikingjelly,
    "syops": by_syops,
}


def _shown(value: float) -> str:
    return f"{value:,.1f}"


def page() -> str:
    """The page, made by running everything."""
    names = [f"{name} {version(name)}" for name in COUNTERS]
    rows = [f"| layer | ours, dense | ours, effective | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for what, case in cases().items():
        counted = ours(case)
        if counted is None:
            mine = ["-", "-"]
        else:
            macs = " MACs" if counted.input_macs else ""
            dense, effective = (
                counted.synops_dense + counted.input_macs,
                counted.synops_effective + counted.input_macs_effective,
            )
            mine = [_shown(case.per_sample(x)) + macs for x in (dense, effective)]
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            others = [count(case) for count in COUNTERS.values()]
        cells = [f"**{cell}**" if cell in mine else cell for cell in others]
        rows.append(f"| {' | '.join((what, *mine, *cells))} |")
    return INTRODUCTION.format(images=IMAGES, steps=STEPS) + "\n".join(rows) + "\n" + AFTER


if __name__ == "__main__":
    write_or_check({PAGE: page()}, "uv run --group peers python docs/definitions.py")
