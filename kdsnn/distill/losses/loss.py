"""What a loss is registered as, and what it sees of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from kdsnn.choices import LOSSES
from kdsnn.recipes.schema import DistillSection

__all__ = ["Loss", "Seen", "annealed", "loss_of", "without_features"]

Features = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@dataclass(frozen=True)
class Seen:
    """What a loss sees of a batch.

    Attributes:
        steps: the student's output spikes `(T, B, classes)`.
        teacher: logits `(B, classes)`; of no use where there is no teacher.
        labels: `(B,)`.
        features: of each pair of layers the student's rates, brought to the teacher's shape, and the teacher's features
            before their ReLU; both `(B, C, H, W)`.
    """

    steps: torch.Tensor
    teacher: torch.Tensor
    labels: torch.Tensor
    features: Features = ()

    @property
    def rates(self) -> torch.Tensor:
        """The student's firing rates `(B, classes)`."""
        return self.steps.mean(dim=0)


@dataclass(frozen=True)
class Loss:
    """A loss of the student.

    Attributes:
        compute: the loss of a batch, one number, from what is seen of it and the recipe's section.
        needs_teacher: whether it asks the teacher.
        needs_features: whether it compares features of pairs of layers.
    """

    compute: Callable[[Seen, DistillSection], torch.Tensor]
    needs_teacher: bool = True
    needs_features: bool = False

    def __call__(self, seen: Seen, section: DistillSection) -> torch.Tensor:
        """The loss of a batch."""
        return self.compute(seen, section)


def loss_of(section: DistillSection) -> Loss:
    """The loss that a recipe names."""
    loss: Loss = LOSSES.get(section.kind)
    return loss


def annealed(section: DistillSection, progress: float) -> DistillSection:
    """The section with the alpha of a moment of the training, which goes from 0 to 1."""
    if section.alpha_end is None:
        return section
    alpha = (1 - progress) * section.alpha + progress * section.alpha_end
    return section.model_copy(update={"alpha": alpha, "alpha_end": None})


def without_features(section: DistillSection) -> DistillSection:
    """The section for one who sees no features, after the training: `response` instead, at the last alpha."""
    kind = "response" if loss_of(section).needs_features else section.kind
    return annealed(section, 1.0).model_copy(update={"kind": kind})
