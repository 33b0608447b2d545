"""What is trained: a student, and beside it what the loss needs to compare it with its teacher."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from kdsnn.distill.features import Pair, find_pairs, input_of, sized, watching
from kdsnn.distill.losses.loss import loss_of
from kdsnn.distill.output import classifier, output_neurons
from kdsnn.models.students import Student
from kdsnn.recipes.schema import Recipe

__all__ = ["Answer", "Beside", "Learner", "Watched", "what_to_watch"]


class Answer(NamedTuple):
    """What a learner answers to a batch.

    Attributes:
        steps: output spikes `(T, B, classes)`.
        drive: of the output neurons, likewise; None where the loss does not ask for it.
        features: the rates of each pair, brought to the teacher's channels, `(B, C, H, W)`; `read` is not among them.
        read: the features that the student answers by, brought to the teacher's size, `(B, F)`; None likewise.
        scale: that is learnt, one number; None likewise.
    """

    steps: torch.Tensor
    drive: torch.Tensor | None
    features: tuple[torch.Tensor, ...]
    read: torch.Tensor | None
    scale: torch.Tensor | None


@dataclass(frozen=True)
class Watched:
    """What a loss watches while a student and its teacher answer.

    Attributes:
        pairs: layers whose features are compared.
        neurons: the student's layer of output neurons, whose drive is seen; None where no loss asks for it, or the
            student puts out its drive.
        drive: whether the drive is seen.
        linear: names of the last linear layers of the student and the teacher, whose inputs are the features that they
            answer by; None where no loss asks for them.
        sizes: of these inputs.
        compared: whether these inputs are a pair of features, too.
        scale: where the scale that is learnt starts; None learns none.
    """

    pairs: tuple[Pair, ...] = ()
    neurons: str | None = None
    drive: bool = False
    linear: tuple[str, str] | None = None
    sizes: tuple[int, int] = (0, 0)
    compared: bool = False
    scale: float | None = None


def what_to_watch(recipe: Recipe, student: Student, teacher: nn.Module, input_shape: tuple[int, ...]) -> Watched:
    """What the loss of a recipe watches, checked on an image of zeros. Nothing is left changed.

    Args:
        recipe: its loss, and its `distill.pairs`.
        student: on the CPU.
        teacher: on any device, `meta` too.
        input_shape: `(C, H, W)`.

    Raises:
        RecipeError: one of the two has no such layers.
    """
    loss, neurons, linear, sizes = loss_of(recipe.distill), None, None, (0, 0)
    if loss.needs_drive:
        neurons = output_neurons(student, input_shape, recipe.student.model)
    compared = loss.needs_features and recipe.distill.pairs == "classifier"
    if loss.needs_classifier or compared:
        ours, one = classifier(student.layers, "student", recipe.student.model)
        theirs, other = classifier(teacher, "teacher", recipe.teacher.model)
        linear, sizes = (ours, theirs), (one.in_features, other.in_features)
    return Watched(
        pairs=find_pairs(recipe, student, teacher, input_shape) if loss.needs_features and not compared else (),
        neurons=neurons,
        drive=loss.needs_drive,
        linear=linear,
        sizes=sizes,
        compared=compared,
        scale=recipe.distill.logit_scale if loss.learns_scale else None,
    )


class Beside(nn.Module):
    """What is learnt beside a student, and is of no use behind the training.

    Args:
        watched: what the loss watches.

    Attributes:
        transforms: for each pair a 1x1 convolution from the student's channels to the teacher's.
        head: from the features that the student answers by to those of its teacher, or None.
        log_scale: logarithm of the scale, or None.
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(nn.Conv2d(*pair.channels, 1) for pair in watched.pairs)
        self.head = None if watched.linear is None else nn.Linear(*watched.sizes)
        start = None if watched.scale is None else nn.Parameter(torch.tensor(watched.scale).log())
        self.log_scale: nn.Parameter | None
        self.register_parameter("log_scale", start)

    def features(self, pairs: Iterable[Pair], rates: Iterable[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The rates `(B, ...)` of each pair at its size, brought to the teacher's channels."""
        each = zip(pairs, rates, self.transforms, strict=True)
        return tuple(transform(sized(rate, pair)) for pair, rate, transform in each)

    def scale(self) -> torch.Tensor | None:
        """The scale that is learnt: positive."""
        return None if self.log_scale is None else self.log_scale.exp()


class Learner(nn.Module):
    """A student, and what is learnt beside it.

    Args:
        student: the student.
        watched: what the loss watches.
    """

    def __init__(self, student: Student, watched: Watched = Watched()) -> None:
        super().__init__()
        self.student, self.watched = student, watched
        self.beside = Beside(watched)

    def forward(self, images: torch.Tensor) -> Answer:
        """What the loss sees of a batch of images."""
        watched, beside = self.watched, self.beside
        inputs = [name for name in (watched.neurons, watched.linear and watched.linear[0]) if name is not None]
        with watching(self.student.layers, [pair.student for pair in watched.pairs], inputs) as seen:
            steps: torch.Tensor = self.student(images)
        features = beside.features(watched.pairs, (self._rates(seen[pair.student]) for pair in watched.pairs))
        drive, read = None, None
        if watched.drive:
            drive = steps if watched.neurons is None else seen[input_of(watched.neurons)].reshape(steps.shape)
        if watched.linear is not None and beside.head is not None:
            read = beside.head(self._rates(seen[input_of(watched.linear[0])]).flatten(1))
        return Answer(steps, drive, features, read, beside.scale())

    def _rates(self, spikes: torch.Tensor) -> torch.Tensor:
        """The mean over the steps, `(B, ...)`."""
        return spikes.reshape(self.student.timesteps, -1, *spikes.shape[1:]).mean(dim=0)
