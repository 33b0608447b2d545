"""Which layer suffers from quantization: each one alone in integers, all others as the float network has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.export.quantization.quantize import QuantizationReport
from kdsnn.network import Network

__all__ = ["LayerSensitivity", "layer_sensitivity"]

BATCH = 250  # images at once


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantizing one population alone, and the projections into it, does.

    Attributes:
        name: of the population.
        accuracy: of the network with only this population in integers.
        float_rate: spikes of the population, a neuron and step, in the float network.
        rate: the same with only this population in integers.
    """

    name: str
    accuracy: float
    float_rate: float
    rate: float


def layer_sensitivity(
    network: Network,
    integer: Network,
    report: QuantizationReport,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    *,
    device: str = "cpu",
) -> tuple[LayerSensitivity, ...]:
    """A row for each population that quantization changes; one that was exact already has none.

    Args:
        network: the float network.
        integer: the integer network made of it.
        report: how it was made.
        images: `(N, C, H, W)`.
        labels: `(N,)`.
        device: of torch.
    """
    net = FoldedNet(network, integer, report).to(device)
    _, float_rates = _measure(net, images, labels, ())
    rows = []
    for layer in report.layers:
        if layer.limited_by == "exact":
            continue
        accuracy, rates = _measure(net, images, labels, (layer.name,))
        rows.append(LayerSensitivity(layer.name, accuracy, float_rates[layer.name], rates[layer.name]))
    return tuple(rows)


def _measure(
    net: FoldedNet, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], rounded: tuple[str, ...]
) -> tuple[float, dict[str, float]]:
    """Accuracy, and the mean firing rate of each population (of an integrator, its mean score)."""
    device = next(net.parameters()).device
    right, totals = 0, {p.name: 0.0 for p in net.network.spiking}
    with torch.inference_mode():
        for begin in range(0, len(images), BATCH):
            spikes = net(torch.tensor(images[begin : begin + BATCH]).to(device), rounded)
            for name, train in spikes.items():
                totals[name] += float(train.mean()) * train.shape[1] / len(images)
            counts = spikes[net.network.output.name].sum(dim=0).cpu().numpy()
            right += int((counts.argmax(axis=1) == labels[begin : begin + BATCH]).sum())
    return right / len(labels), totals
