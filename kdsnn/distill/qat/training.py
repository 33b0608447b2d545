"""Quantization-aware distillation: a folded network goes on learning from its teacher while it computes in integers.

It begins where post-training quantization ends, and keeps its thresholds, exponents and input width. Every forward pass
computes exactly the spikes of the integer network, so what the loss sees is what the hardware will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kdsnn.choices import AUGMENTATIONS
from kdsnn.data.datasets import Split
from kdsnn.distill.losses.loss import Seen, loss_of, without_features
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.errors import InputError, KdsnnError
from kdsnn.export.quantization.quantize import QuantizationReport, quantize
from kdsnn.network import MEMBRANE_SHIFT, Network, Population, neuron_of
from kdsnn.network.overflow import drive_range, incoming, overflows
from kdsnn.recipes.schema import DistillSection

__all__ = ["Epoch", "QatSettings", "finetune", "keep_in_bounds", "qat"]

SHRINK = 0.99  # of the channels that come nearest to an overflow, until none can
NEAREST = 0.99  # share of the worst channel's reach at which a channel shrinks with it
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class QatSettings:
    """How the integer network is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        lr: highest learning rate, as a share of a projection's typical weight; falls to zero by half a cosine.
        seed: of the order of the images and their augmentation.
        augment: name of an augmentation.
        weight_bits: 2 to 8.
        input_bits: width of an input message; None chooses, as `kdsnn.export.quantization.quantize` does.
        calibration_samples: training images that it is chosen on.
        method: by which post-training quantization chooses the scales that training keeps.
        distill: loss, temperature, alpha and logit scale.
        surrogate: name of the gradient in place of the step's.
        slope: of the surrogate.
    """

    epochs: int = 3
    batch_size: int = 64
    lr: float = 3e-2
    seed: int = 0
    augment: str = "none"
    weight_bits: int = 8
    input_bits: int | None = None
    calibration_samples: int = 128
    method: str = "mse"
    distill: DistillSection = field(default_factory=DistillSection)
    surrogate: str = "atan"
    slope: float = 2.0


@dataclass(frozen=True)
class Epoch:
    """Means over an epoch's training images, and the populations whose weights had to shrink after it."""

    epoch: int
    loss: float
    accuracy: float
    shrunk: tuple[str, ...]


def qat(
    network: Network,
    settings: QatSettings,
    split: Split,
    teacher: nn.Module | None = None,
    *,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Network, QuantizationReport]:
    """The integer network of a float network, quantized and then trained as such, and its report.

    Args:
        network: a float network.
        settings: how.
        split: training images and labels.
        teacher: from images in [0, 1] to logits; needed where the loss asks for it.
        device: of torch.
        on_epoch: called after every epoch.

    Raises:
        InputError: the loss needs a teacher, or a setting is out of range.
        NetworkError: the network is not float, or fits at no scale.
        KdsnnError: the loss is not finite any more.
    """
    like, report = quantize(
        network,
        weight_bits=settings.weight_bits,
        input_bits=settings.input_bits,
        calibration=split.images[: settings.calibration_samples],
        method=settings.method,
    )
    net = FoldedNet(network, like, report, surrogate=settings.surrogate, slope=settings.slope)
    finetune(net.to(device), settings, split, teacher, on_epoch=on_epoch)
    return net.to_integer()


def finetune(
    net: FoldedNet,
    settings: QatSettings,
    split: Split,
    teacher: nn.Module | None = None,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> None:
    """Trains a folded network in place, on the device where it is; its integer network cannot overflow afterwards.

    The loss is that of `kdsnn.distill.losses`, at the last alpha. A folded network has no features to compare: a kind
    with features is taken as `response`.
    """
    _check(settings, teacher)
    learnt = [p for p in net.parameters() if p.requires_grad]
    if not learnt:
        raise InputError("the network holds no weight that could be learnt", hint="all are integers already")
    device = learnt[0].device
    optimizer = torch.optim.Adam(learnt, lr=settings.lr)
    teacher = None if teacher is None else teacher.to(device).eval()
    images, labels = torch.tensor(split.images, device=device), torch.tensor(split.labels, device=device)
    batches = math.ceil(len(labels) / settings.batch_size)
    section = without_features(settings.distill)
    for epoch in range(settings.epochs):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
        order = torch.randperm(len(labels), generator=generator)
        loss_sum, hits = 0.0, 0
        for step, index in enumerate(torch.split(order, settings.batch_size)):
            _set_rate(optimizer, settings, epoch * batches + step, settings.epochs * batches)
            x, y = images[index.to(device)].float() / 255, labels[index.to(device)]
            pixels = (AUGMENTATIONS.get(settings.augment)(x, generator) * 255).round().clamp(0, 255)
            steps = net(pixels)[net.network.output.name]
            seen = Seen(steps, _teacher_logits(teacher, pixels / 255, steps[0]), y)
            loss = loss_of(section)(seen, section)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            net.clamp()
            loss_sum += loss.item() * len(index)
            hits += int((seen.rates.argmax(dim=1) == y).sum())
        if not math.isfinite(loss_sum):
            raise KdsnnError(f"the loss is not finite in epoch {epoch}", hint="lower the learning rate")
        shrunk = keep_in_bounds(net)
        if on_epoch is not None:
            on_epoch(Epoch(epoch, loss_sum / len(labels), hits / len(labels), shrunk))


def keep_in_bounds(net: FoldedNet) -> tuple[str, ...]:
    """Shrinks what could overflow, a hundredth at a time, until `kdsnn.network.overflow` proves that nothing can.

    Of a population that could, only the channels that reach furthest in the worst case are touched, weights and biases
    together; training goes on from there.

    Returns:
        Names of the populations that were touched.
    """
    touched: dict[str, None] = {}
    while True:
        integer, _ = net.to_integer()
        problems = overflows(integer)
        if not problems:
            return tuple(touched)
        for name in problems:
            reach = _reach(integer, integer.population(name))
            net.shrink(name, reach >= NEAREST * reach.max(), SHRINK)
            touched[name] = None


def _reach(network: Network, population: Population) -> npt.NDArray[np.float64]:
    """How far from zero the potential of each channel could come, in its units: without leak, over all steps."""
    neuron, channels = neuron_of(population), population.shape[0]
    bias = (neuron.bias.astype(np.int64) << neuron.bias_exponent).reshape(channels, -1)
    low, high = (np.zeros(channels, dtype=np.int64) for _ in range(2))
    for projection, largest in incoming(network, population):
        part_low, part_high = drive_range(projection, largest)
        low += part_low.reshape(channels, -1).min(axis=1) << MEMBRANE_SHIFT
        high += part_high.reshape(channels, -1).max(axis=1) << MEMBRANE_SHIFT
    down = network.timesteps * np.maximum(0, -(low + bias.min(axis=1)))
    reach: npt.NDArray[np.float64] = np.maximum(down, high + bias.max(axis=1)).astype(np.float64)
    return reach


def _check(settings: QatSettings, teacher: nn.Module | None) -> None:
    if loss_of(settings.distill).needs_teacher and teacher is None:
        raise InputError(f"the loss {settings.distill.kind!r} needs a teacher", hint='or set distill.kind to "none"')
    if min(settings.epochs, settings.batch_size) < 1 or not settings.lr > 0:
        raise InputError("epochs and batch_size must be at least 1, and lr above 0")


def _set_rate(optimizer: torch.optim.Optimizer, settings: QatSettings, step: int, steps: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * (1 + math.cos(math.pi * step / steps)) / 2


def _teacher_logits(teacher: nn.Module | None, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if teacher is None:
        return torch.zeros_like(like)
    with torch.no_grad():
        logits: torch.Tensor = teacher(x)
    return logits
