"""Spiking students by name: those in `kdsnn.choices.STUDENTS`, and a user's own."""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.choices import STUDENTS
from kdsnn.errors import RecipeError
from kdsnn.models.kinds import CopyKind, Pairs, StudentKind, image_shape
from kdsnn.models.own import TRIED, ask, own_network
from kdsnn.own_code.functions import is_reference, load_own, title_of
from kdsnn.recipes.schema import StudentSection

__all__ = ["Student", "build_student", "is_copy", "student_stages"]

OPTIONS = ("channels", "hidden", "percentile", "weights")  # fields of the section that only some students take
Shape = tuple[int, ...]


class Student(nn.Module):
    """A spiking network over T steps.

    Attributes:
        layers: from images `(B, C, H, W)` in [0, 1] to output spikes `(T * B, classes)`, all images of a step together;
            what `kdsnn.export.lowering` reads. Where the readout is the membrane, they are what drives it at a step.
        timesteps: T.
        pairs: names of populations, and of modules of its teacher whose features they have; of a copy alone.
    """

    def __init__(self, layers: nn.Module, timesteps: int, pairs: Pairs = ()) -> None:
        super().__init__()
        self.pairs = pairs
        self.layers = layers
        self.timesteps = timesteps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Output spikes, or drives, `(T, B, classes)` of images `(B, C, H, W)` in [0, 1]."""
        spikes: torch.Tensor = self.layers(images)
        return spikes.reshape(self.timesteps, len(images), -1)

    def rates(self, images: torch.Tensor) -> torch.Tensor:
        """Firing rates `(B, classes)`: output spikes, or the potential after the last step, over T."""
        rates: torch.Tensor = self(images).mean(dim=0)
        return rates


def build_student(
    section: StudentSection,
    input_shape: Shape,
    classes: int,
    *,
    teacher: nn.Module | None = None,
    images: torch.Tensor | None = None,
) -> Student:
    """The student of a recipe, with new random weights, or with those of the teacher that it copies.

    Args:
        section: which.
        input_shape: `(C, H, W)` of an image, or `(F,)`.
        classes: number of classes.
        teacher: what a copy is made of; others need none.
        images: training images `(N, C, H, W)` in [0, 1], by which a copy's weights are balanced; without them they are
            of no use yet.

    Raises:
        RecipeError: it does not fit the images, takes no such option, or lacks a teacher to copy.
        LoweringError: it cannot be a copy of this teacher.
        InputError: a user's own function is not there, or fails.
    """
    if is_reference(section.model):
        return Student(_own(section, input_shape, classes), section.timesteps)
    kind: StudentKind | CopyKind = STUDENTS.get(section.model)
    given = {name for name in OPTIONS if getattr(section, name) is not None}
    if unknown := given - kind.options:
        raise RecipeError(f"student {section.model!r} takes no {' and no '.join(sorted(unknown))}", hint="use width")
    if isinstance(kind, StudentKind):
        shape = image_shape(input_shape, f"student {section.model!r}")
        return Student(kind.build(section, shape, classes), section.timesteps)
    if section.width != 1:
        raise RecipeError(f"student {section.model!r} takes no width", hint="it is as wide as its teacher")
    if teacher is None:
        raise RecipeError(f"student {section.model!r} is a copy of its teacher, and there is none")
    layers, pairs = kind.build(teacher, section, input_shape, images)
    return Student(layers, section.timesteps, pairs)


def is_copy(name: str) -> bool:
    """Whether a student is made of its teacher."""
    return not is_reference(name) and isinstance(STUDENTS.get(name), CopyKind)


def student_stages(name: str) -> tuple[str, ...]:
    """The populations at the ends of a student's stages, as far as they are known."""
    kind = load_own(name).value if is_reference(name) else STUDENTS.get(name)
    return kind.stages if isinstance(kind, StudentKind) else ()


def _own(section: StudentSection, input_shape: Shape, classes: int) -> nn.Module:
    title = f"student {title_of(section.model)}"
    kind = load_own(section.model).value
    if isinstance(kind, StudentKind):
        return kind.build(section, image_shape(input_shape, title), classes)
    offered = {"section": section, "input_shape": input_shape, "classes": classes, "timesteps": section.timesteps}
    layers = own_network(section.model, offered)
    answer, wanted = ask(layers, title, input_shape), (section.timesteps * TRIED, classes)
    if tuple(answer.shape) not in (wanted, (section.timesteps, TRIED, classes)):
        raise RecipeError(
            f"{title} answers {TRIED} images with {tuple(answer.shape)}, not with {wanted}",
            hint=f"its output spikes at each of {section.timesteps} steps (student.timesteps), or what drives them",
        )
    return layers
