"""What a loss is registered as, and what it sees of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from kdsnn.choices import LOSSES
from kdsnn.errors import RecipeError
from kdsnn.recipes.schema import DistillSection

__all__ = ["Loss", "Seen", "annealed", "check_alpha", "loss_of", "scaled_rates"]

Features = tuple[tuple[torch.Tensor, torch.Tensor], ...]


@dataclass(frozen=True)
class Seen:
    """What a loss sees of a batch.

    Attributes:
        steps: the student's output spikes `(T, B, classes)`.
        teacher: logits `(B, classes)`; of no use where there is no teacher.
        labels: `(B,)`; -1 where an image has none.
        features: of each pair of layers the student's rates, brought to the teacher's shape, and the teacher's features
            before their ReLU; both `(B, C, H, W)`.
        drive: what drives the output neurons, `(T, B, classes)`; where the membrane is read, this is `steps`.
        through: logits `(B, classes)` that the teacher's classifier gives for the student's features.
        scale: positive and learnt, one number: logits are so many times the drive; None where a loss learns none.
    """

    steps: torch.Tensor
    teacher: torch.Tensor
    labels: torch.Tensor
    features: Features = ()
    drive: torch.Tensor | None = None
    through: torch.Tensor | None = None
    scale: torch.Tensor | None = None

    @property
    def logits(self) -> torch.Tensor:
        """The learnt scale times the drive, at each step: `(T, B, classes)`."""
        assert self.drive is not None  # noqa: S101  the loss says that it needs both
        assert self.scale is not None  # noqa: S101
        return self.scale * self.drive

    @property
    def rates(self) -> torch.Tensor:
        """The student's firing rates `(B, classes)`."""
        return self.steps.mean(dim=0)


def scaled_rates(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The rates, `logit_scale` times: `(B, classes)`."""
    return seen.rates * section.logit_scale


@dataclass(frozen=True)
class Loss:
    """A loss of the student.

    Attributes:
        compute: the loss of a batch, one number, from what is seen of it and the recipe's section.
        needs_teacher: whether it asks the teacher.
        needs_features: whether it compares features of pairs of layers.
        needs_drive: whether it sees the drive of the output neurons.
        learns_scale: whether logits are a learnt number of times what it compares.
        needs_classifier: whether the teacher's classifier reads the student's features.
        mixes: whether alpha weighs the teacher against the labels, and so is 1 at most.
        logits: `(B, classes)` that it compares with the teacher's; a student that teaches answers by them.
    """

    compute: Callable[[Seen, DistillSection], torch.Tensor]
    needs_teacher: bool = True
    needs_features: bool = False
    needs_drive: bool = False
    learns_scale: bool = False
    needs_classifier: bool = False
    mixes: bool = False
    logits: Callable[[Seen, DistillSection], torch.Tensor] = scaled_rates

    def __call__(self, seen: Seen, section: DistillSection) -> torch.Tensor:
        """The loss of a batch."""
        return self.compute(seen, section)


def loss_of(section: DistillSection) -> Loss:
    """The loss that a recipe names."""
    loss: Loss = LOSSES.get(section.kind)
    return loss


def check_alpha(section: DistillSection) -> None:
    """Raises RecipeError for an alpha above 1 in a loss where it is the teacher's share."""
    if not loss_of(section).mixes:
        return
    for name, alpha in (("alpha", section.alpha), ("alpha_end", section.alpha_end)):
        if alpha is not None and alpha > 1:
            raise RecipeError(
                f"distill.{name} is {alpha:g}: in the loss {section.kind!r} it is the teacher's share, from 0 to 1"
            )


def annealed(section: DistillSection, progress: float) -> DistillSection:
    """The section with the alpha of a moment of the training, which goes from 0 to 1."""
    if section.alpha_end is None:
        return section
    alpha = (1 - progress) * section.alpha + progress * section.alpha_end
    return section.model_copy(update={"alpha": alpha, "alpha_end": None})
