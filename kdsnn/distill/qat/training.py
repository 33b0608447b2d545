"""Quantization-aware distillation: a folded network goes on learning from its teacher while it computes in integers.

It begins where post-training quantization ends, and keeps its thresholds, exponents and input width. Every forward pass
computes exactly the spikes of the integer network, so what the loss sees is what the hardware will do. The training is
that of teachers and students (`kdsnn.distill.trainer`): with validation, resumable, with the same bar.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from kdsnn.data.datasets import Split
from kdsnn.data.encoders import DIRECT, encoded
from kdsnn.distill.checkpoint import load_model
from kdsnn.distill.distiller import Distiller, Successor
from kdsnn.distill.learner import Watched
from kdsnn.distill.losses.loss import check_alpha, loss_of
from kdsnn.distill.qat.bounds import keep_in_bounds
from kdsnn.distill.qat.folded_learner import FoldedLearner
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.distill.trainer import Batch, Epoch, Plan, fit
from kdsnn.errors import InputError, RecipeError
from kdsnn.export.quantization.quantize import QuantizationReport, quantize
from kdsnn.network import Network
from kdsnn.recipes.schema import DistillSection, QuantizeSection

__all__ = ["QatSettings", "finetune", "folded", "qat"]

BATCH = 250  # images at once in validation


@dataclass(frozen=True)
class QatSettings:
    """How the integer network is trained.

    Attributes:
        quantize: widths and method of post-training quantization, and how it is trained from there (`qat`).
        distill: loss, temperature, alpha and logit scale.
        seed: of the order of the images and their augmentation.
        augment: name of an augmentation.
        surrogate: name of the gradient in place of the step's.
        slope: of the surrogate.
        encode: how the network is shown still images, where it takes images in time.
        watched: what the loss watches, by the names of the populations.
        rounded: whether it computes in integers; else the float network goes on learning, for comparison.
        beside: file of what the loss learnt beside the student, from which it goes on; None starts anew.
    """

    quantize: QuantizeSection
    distill: DistillSection = field(default_factory=DistillSection)
    seed: int = 0
    augment: str = "none"
    surrogate: str = "atan"
    slope: float = 2.0
    encode: str = DIRECT
    watched: Watched = field(default_factory=Watched)
    rounded: bool = True
    beside: Path | None = None


def qat(
    network: Network,
    settings: QatSettings,
    split: Split,
    folder: Path,
    *,
    teacher: nn.Module | None = None,
    held_out: Split | None = None,
    device: str | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Network, QuantizationReport]:
    """The integer network of a float network, quantized and then trained as such, and its report.

    Args:
        network: a float network.
        settings: how.
        split: training images and labels.
        folder: for metrics and the checkpoint, from which an interrupted training goes on.
        teacher: from images in [0, 1] to logits; needed where the loss asks for it.
        held_out: images by which the best weights are chosen.
        device: `cpu`, or None for what accelerate finds.
        on_epoch: called after every epoch.

    Raises:
        InputError: the loss needs a teacher, or there is nothing to learn.
        NetworkError: the network is not float, or fits at no scale.
        RecipeError: the loss is not finite any more.
    """
    net = folded(network, settings, split)
    finetune(net, settings, split, folder, teacher=teacher, held_out=held_out, device=device, on_epoch=on_epoch)
    return net.to_integer()


def folded(network: Network, settings: QatSettings, split: Split) -> FoldedNet:
    """A float network as it begins: quantized after its training, calibrated on training images.

    Raises:
        NetworkError: the network is not float, or fits at no scale.
    """
    section = settings.quantize
    like, report = quantize(
        network,
        weight_bits=section.weight_bits,
        input_bits=None if section.input_bits == "auto" else section.input_bits,
        calibration=encoded(split.images[: section.calibration_samples], settings.encode, network.timesteps),
        method=section.method,
    )
    return FoldedNet(network, like, report, surrogate=settings.surrogate, slope=settings.slope)


def finetune(
    net: FoldedNet,
    settings: QatSettings,
    split: Split,
    folder: Path,
    *,
    teacher: nn.Module | None = None,
    held_out: Split | None = None,
    device: str | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> None:
    """Trains a folded network in place; its integer network cannot overflow afterwards, if it was rounded. See `qat`.

    The loss is that of the recipe, features and all; alpha goes over the fine-tuning as over the training. Where the
    float student teaches, it answers by what the loss compares with a teacher's logits, and its features are its own.
    """
    check_alpha(settings.distill)
    if loss_of(settings.distill).needs_teacher and teacher is None:
        raise InputError(f"the loss {settings.distill.kind!r} needs a teacher", hint='or set distill.kind to "none"')
    if not any(p.requires_grad for p in net.parameters()):
        raise InputError("the network holds no weight that could be learnt", hint="all are integers already")
    learner = FoldedLearner(net, settings.watched, settings.encode, rounded=settings.rounded)
    if settings.beside is not None:
        load_model(learner.beside, settings.beside)
    distiller = Distiller(
        settings.distill,
        teacher,
        settings.watched,
        unchanged=split.images if settings.augment == "none" else None,
        successor=_successor(learner, settings),
    )

    def forward(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = (batch.images * 255).round().clamp(0, 255)  # the teacher sees what the integer network does
        return distiller(model, replace(batch, images=pixels / 255))

    fit(
        learner,
        forward,
        Plan(settings.quantize.qat, split, settings.augment, settings.seed, "fine-tuning"),
        folder,
        resume=True,
        device=device,
        validate=None if held_out is None else lambda model: _accuracy(model, held_out),
        on_epoch=on_epoch,
        after_step=net.clamp if settings.rounded else None,
        after_epoch=(lambda: keep_in_bounds(net)) if settings.rounded else None,
    )
    net.cpu()
    if settings.rounded:
        keep_in_bounds(net)  # a moving average of weights that were kept there need not be


def _successor(learner: FoldedLearner, settings: QatSettings) -> Successor | None:
    """The float network as it begins, where it is to teach."""
    since = {"teacher": None, "both": 0.5, "student": 0.0}[settings.quantize.qat.taught_by]
    if since is None:
        return None
    if not loss_of(settings.distill).needs_teacher:
        raise RecipeError(f"quantize.qat.taught_by: the loss {settings.distill.kind!r} learns from no teacher")
    student = FoldedLearner(copy.deepcopy(learner.net), settings.watched, settings.encode, rounded=False)
    student.beside.load_state_dict(learner.beside.state_dict())
    return Successor(student, since)


def _accuracy(learner: nn.Module, split: Split) -> float:
    """Share of right answers of a folded network, on the device where it is."""
    assert isinstance(learner, FoldedLearner)  # noqa: S101
    device, right = next(learner.parameters()).device, 0
    with torch.inference_mode():
        for begin in range(0, len(split.labels), BATCH):
            shown = encoded(split.images[begin : begin + BATCH], learner.encode, learner.net.network.timesteps)
            rates = learner.net.rates(torch.tensor(shown, device=device), learner.rounded)
            right += int((rates.argmax(dim=1).cpu().numpy() == split.labels[begin : begin + BATCH]).sum())
    return right / len(split.labels)
