"""The student's features, read by the teacher's classifier."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import soft_cross_entropy, task_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "laf"]


def laf(seen: Seen, section: DistillSection) -> torch.Tensor:
    """That of the labels + alpha * tau^2 * CE(softmax(through / tau), softmax(teacher / tau)).

    `through` is what the teacher's classifier, its last linear layer, makes of the student's features: the rates that
    come into the student's own last linear layer, brought to the teacher's size by a linear layer. The classifier
    learns nothing. The LAF loss of EnOF (Guo et al., NeurIPS 2024).
    """
    soft = soft_cross_entropy(through(seen, section), seen.teacher, section.temperature)
    return task_term(seen.rates, seen.labels, section) + section.alpha * soft


def through(seen: Seen, _section: DistillSection) -> torch.Tensor:
    """What the teacher's classifier makes of the student's features, `(B, classes)`."""
    assert seen.through is not None  # noqa: S101  the loss says that it needs the classifier
    return seen.through


LOSS = Loss(laf, needs_classifier=True, logits=through)
