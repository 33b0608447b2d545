"""A student and what it needs to be compared with its teacher, and the loss of both on a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.distill.features import Pair, as_map, watching
from kdsnn.distill.losses.loss import Seen, annealed, loss_of
from kdsnn.distill.trainer import Batch
from kdsnn.models.students import Student
from kdsnn.recipes.schema import DistillSection

__all__ = ["Distiller", "Learner"]

AT_ONCE = 250  # images of which the teacher is asked before the training


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
        unchanged: the training images `(N, C, H, W)` uint8, where augmentation leaves them as they are: then the
            teacher answers for each of them once only. Its features are not kept: they are larger than the images.
    """

    def __init__(
        self,
        section: DistillSection,
        teacher: nn.Module | None = None,
        pairs: Sequence[Pair] = (),
        unchanged: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.section, self.pairs = section, tuple(pairs)
        self.teacher = None if teacher is None else teacher.eval()
        self.unchanged = None if self.pairs else unchanged
        self.answers: torch.Tensor | None = None

    def __call__(self, learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a batch, and its firing rates `(B, classes)`."""
        steps, ours = learner(batch.images)
        logits, theirs = self._teacher(batch, steps[0])
        features = tuple((s.float(), t.float()) for s, t in zip(ours, theirs, strict=True))
        section = annealed(self.section, batch.progress)
        seen = Seen(steps.float(), logits.float(), batch.labels, features)
        return loss_of(section)(seen, section), seen.rates

    @torch.no_grad()
    def _teacher(self, batch: Batch, like: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The teacher's logits, and its features before their ReLU at the size of each pair."""
        if self.teacher is None:
            return torch.zeros_like(like), ()
        teacher = self.teacher.to(batch.images.device)
        if self.unchanged is not None:
            if self.answers is None:
                self.answers = _answers(teacher, self.unchanged, batch.images.device)
            return self.answers[batch.index], ()
        with watching(teacher, [pair.teacher for pair in self.pairs]) as seen:
            logits: torch.Tensor = teacher(batch.images)
        return logits, tuple(_sized(seen[pair.teacher], pair) for pair in self.pairs)


def _answers(teacher: nn.Module, images: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """The teacher's logits of all images."""
    parts = torch.split(torch.tensor(images), AT_ONCE)
    return torch.cat([teacher(part.to(device).float() / 255) for part in parts])


def _sized(features: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Feature maps at the size of a pair; the larger ones are averaged."""
    maps = features.reshape(as_map(features.shape))
    return maps if tuple(maps.shape[2:]) == pair.size else F.adaptive_avg_pool2d(maps, pair.size)
