"""A student and what it needs to be compared with its teacher, and the loss of both on a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.distill.features import Pair, as_map, watching
from kdsnn.distill.losses import LOSSES, Seen, annealed
from kdsnn.distill.trainer import Batch
from kdsnn.models.students import Student
from kdsnn.recipe import DistillSection

__all__ = ["Distiller", "Learner"]


class Learner(nn.Module):
    """What is trained: the student, and for each pair a 1x1 convolution from its channels to the teacher's.

    Args:
        student: the student.
        pairs: whose features are compared; none for a loss without features.
    """

    def __init__(self, student: Student, pairs: Sequence[Pair] = ()) -> None:
        super().__init__()
        self.student, self.pairs = student, tuple(pairs)
        self.transforms = nn.ModuleList(nn.Conv2d(*pair.channels, 1) for pair in self.pairs)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Output spikes `(T, B, classes)`, and the transformed rates `(B, C, H, W)` of each pair."""
        with watching(self.student.layers, [pair.student for pair in self.pairs]) as seen:
            steps: torch.Tensor = self.student(images)
        rates = []
        for pair, transform in zip(self.pairs, self.transforms, strict=True):
            spikes = seen[pair.student]
            rate = spikes.reshape(self.student.timesteps, -1, *spikes.shape[1:]).mean(dim=0)
            rates.append(transform(_sized(rate, pair)))
        return steps, tuple(rates)


class Distiller:
    """The loss of a recipe: what `kdsnn.distill.trainer.fit` asks for.

    Args:
        section: kind of the loss, and its options.
        teacher: from images in [0, 1] to logits; None for the student alone.
        pairs: those of the learner.
    """

    def __init__(self, section: DistillSection, teacher: nn.Module | None = None, pairs: Sequence[Pair] = ()) -> None:
        self.section, self.pairs = section, tuple(pairs)
        self.teacher = None if teacher is None else teacher.eval()

    def __call__(self, learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a batch, and its firing rates `(B, classes)`."""
        steps, ours = learner(batch.images)
        logits, theirs = self._teacher(batch.images, steps[0])
        features = tuple(zip(ours, theirs, strict=True))
        section = annealed(self.section, batch.progress)
        seen = Seen(steps, logits, batch.labels, features)
        return LOSSES[section.kind](seen, section), seen.rates

    @torch.no_grad()
    def _teacher(self, images: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The teacher's logits, and its features before their ReLU at the size of each pair."""
        if self.teacher is None:
            return torch.zeros_like(like), ()
        names = [pair.teacher for pair in self.pairs]
        with watching(self.teacher.to(images.device), names) as seen:
            logits: torch.Tensor = self.teacher(images)
        return logits, tuple(_sized(seen[pair.teacher], pair) for pair in self.pairs)


def _sized(features: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Feature maps at the size of a pair; the larger ones are averaged."""
    maps = features.reshape(as_map(features.shape))
    return maps if tuple(maps.shape[2:]) == pair.size else F.adaptive_avg_pool2d(maps, pair.size)
