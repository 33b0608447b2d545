"""The response, taken from what drives the output neurons instead of their spikes."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import mean_logits, mixed, soft_cross_entropy, task_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "drive"]


def drive(seen: Seen, section: DistillSection) -> torch.Tensor:
    """Alpha * tau^2 * CE(softmax(z / tau), softmax(teacher / tau)) + (1 - alpha) * that of the labels.

    z is the learnt scale times the mean drive over the steps. A rate over T steps has T + 1 values, and few of a
    teacher's softened answers are among them; the drive has no steps. The labels still judge the rates, which are what
    the hardware counts.
    """
    soft = soft_cross_entropy(mean_logits(seen, section), seen.teacher, section.temperature)
    return mixed(soft, task_term(seen.rates, seen.labels, section), section)


LOSS = Loss(drive, needs_drive=True, learns_scale=True, mixes=True, logits=mean_logits)
