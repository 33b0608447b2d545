"""The loss of a learner's answer to a batch, beside what its teacher answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from kdsnn.distill.features import input_of, sized, watching
from kdsnn.distill.learner import Answer, Watched
from kdsnn.distill.losses.loss import Seen, annealed, loss_of
from kdsnn.distill.trainer import Batch
from kdsnn.recipes.schema import DistillSection

__all__ = ["Distiller", "Successor"]

AT_ONCE = 250  # images of which the teacher is asked before the training


@dataclass(frozen=True)
class Successor:
    """Who teaches after the teacher.

    Attributes:
        learner: answers as the learner does that is taught, in the same terms.
        since: progress of the training from which it teaches, from 0 to 1.
    """

    learner: nn.Module
    since: float


class Distiller:
    """The loss of a recipe: what `kdsnn.distill.trainer.fit` asks for.

    Args:
        section: kind of the loss, and its options.
        teacher: from images in [0, 1] to logits; None for the student alone.
        watched: as the learner has it.
        unchanged: the training images `(N, C, H, W)` uint8, where augmentation leaves them as they are: then the
            teacher answers for each of them once only. Its features are not kept: they are larger than the images.
        successor: who teaches after the teacher; None is nobody.
    """

    def __init__(
        self,
        section: DistillSection,
        teacher: nn.Module | None = None,
        watched: Watched = Watched(),  # noqa: B008  frozen
        unchanged: npt.NDArray[np.uint8] | None = None,
        successor: Successor | None = None,
    ) -> None:
        self.section, self.watched, self.successor = section, watched, successor
        self.teacher = None if teacher is None else teacher.eval()
        self.unchanged = None if watched.pairs or watched.compared else unchanged
        self.answers: torch.Tensor | None = None

    def __call__(self, learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a batch, and its firing rates `(B, classes)`."""
        answer: Answer = learner(batch.images)
        section, after = annealed(self.section, batch.progress), self.successor
        if after is not None and batch.progress >= after.since:
            logits, theirs = self._succeeding(after, batch)
        else:
            logits, theirs = self._teacher(batch, answer.steps[0])
        seen = self._seen(answer, logits, batch.labels, theirs)
        return loss_of(section)(seen, section), seen.rates

    def _seen(
        self, answer: Answer, logits: torch.Tensor, labels: torch.Tensor, theirs: tuple[torch.Tensor, ...]
    ) -> Seen:
        """What the loss sees of an answer, beside a teacher's logits and features."""
        return Seen(
            steps=answer.steps.float(),
            teacher=logits.float(),
            labels=labels,
            features=tuple((s.float(), t.float()) for s, t in zip(self._features(answer), theirs, strict=True)),
            drive=None if answer.drive is None else answer.drive.float(),
            through=self._through(answer.read),
            scale=answer.scale,
        )

    def _features(self, answer: Answer) -> tuple[torch.Tensor, ...]:
        """Those that are compared."""
        if self.watched.compared and answer.read is not None:
            return (*answer.features, answer.read[..., None, None])
        return answer.features

    @torch.no_grad()
    def _succeeding(self, after: Successor, batch: Batch) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The logits and features of who teaches after the teacher."""
        answer: Answer = after.learner.to(batch.images.device)(batch.images)
        features = self._features(answer)
        seen = self._seen(answer, answer.steps[0], batch.labels, features)
        return loss_of(self.section).logits(seen, self.section), features

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
        watched = self.watched
        read = [watched.linear[1]] if watched.compared and watched.linear is not None else []
        with watching(teacher, [pair.teacher for pair in watched.pairs], read) as seen:
            logits: torch.Tensor = teacher(batch.images)
        maps = [sized(seen[pair.teacher], pair) for pair in watched.pairs]
        return logits, (*maps, *(seen[input_of(name)][..., None, None] for name in read))

    def _through(self, features: torch.Tensor | None) -> torch.Tensor | None:
        """What the teacher's classifier, which learns nothing, makes of features `(B, F)`."""
        if features is None or not loss_of(self.section).needs_classifier:
            return None
        assert self.teacher is not None  # noqa: S101  a loss that needs its classifier needs the teacher
        assert self.watched.linear is not None  # noqa: S101
        linear = self.teacher.get_submodule(self.watched.linear[1])
        assert isinstance(linear, nn.Linear)  # noqa: S101
        return F.linear(features.float(), linear.weight.detach(), None if linear.bias is None else linear.bias.detach())


def _answers(teacher: nn.Module, images: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """The teacher's logits of all images."""
    parts = torch.split(torch.tensor(images), AT_ONCE)
    return torch.cat([teacher(part.to(device).float() / 255) for part in parts])
