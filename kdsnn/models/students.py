"""Spiking students by name: those in `kdsnn.choices.STUDENTS`, and a user's own."""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.choices import STUDENTS
from kdsnn.data.encoders import DIRECT
from kdsnn.errors import RecipeError
from kdsnn.models.in_time import encode_batch, fold, frame_of, give_frames
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
            Images in time come `(T * B, C, H, W)`.
        timesteps: T.
        pairs: names of populations, and of modules of its teacher whose features they have; of a copy alone.
        in_time: whether the images have a frame for each step, of their own or by an encoder.
        encode: how still images are shown, one of `kdsnn.choices.ENCODERS`.
    """

    def __init__(
        self, layers: nn.Module, timesteps: int, pairs: Pairs = (), *, in_time: bool = False, encode: str = DIRECT
    ) -> None:
        super().__init__()
        self.pairs = pairs
        self.in_time, self.encode = in_time or encode != DIRECT, encode
        self.layers = give_frames(layers) if self.in_time else layers
        self.timesteps = timesteps

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Output spikes, or drives, `(T, B, classes)` of images in [0, 1].

        They are `(B, C, H, W)`, or in time `(B, T, C, H, W)`.
        """
        shown = encode_batch(images, self.encode, self.timesteps)
        spikes: torch.Tensor = self.layers(fold(shown) if self.in_time else shown)
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
    encode: str = DIRECT,
) -> Student:
    """The student of a recipe, with new random weights, or with those of the teacher that it copies.

    Args:
        section: which.
        input_shape: `(C, H, W)` of an image, or `(F,)`; of images in time, T before it.
        classes: number of classes.
        teacher: what a copy is made of; others need none.
        images: training images `(N, C, H, W)` in [0, 1], by which a copy's weights are balanced; without them they are
            of no use yet.
        encode: how it is shown still images.

    Raises:
        RecipeError: it does not fit the images, takes no such option, or lacks a teacher to copy.
        LoweringError: it cannot be a copy of this teacher.
        InputError: a user's own function is not there, or fails.
    """
    frame = frame_of(input_shape)
    if in_time := frame != input_shape or encode != DIRECT:
        _check_in_time(section, input_shape)
    if is_reference(section.model):
        layers = _own(section, frame, classes, in_time=in_time)
        return Student(layers, section.timesteps, in_time=in_time, encode=encode)
    kind: StudentKind | CopyKind = STUDENTS.get(section.model)
    given = {name for name in OPTIONS if getattr(section, name) is not None}
    if unknown := given - kind.options:
        raise RecipeError(f"student {section.model!r} takes no {' and no '.join(sorted(unknown))}", hint="use width")
    if isinstance(kind, StudentKind):
        shape = image_shape(frame, f"student {section.model!r}")
        layers = kind.build(section, shape, classes)
        layers = layers.to(memory_format=torch.channels_last)  # a max pool of it takes a fraction of the time
        return Student(layers, section.timesteps, in_time=in_time, encode=encode)
    if section.width != 1:
        raise RecipeError(f"student {section.model!r} takes no width", hint="it is as wide as its teacher")
    if teacher is None:
        raise RecipeError(f"student {section.model!r} is a copy of its teacher, and there is none")
    layers, pairs = kind.build(teacher, section, input_shape, images)
    return Student(layers, section.timesteps, pairs)


def _check_in_time(section: StudentSection, input_shape: Shape) -> None:
    """Raises RecipeError for a student that cannot be shown images in time, or not so many steps."""
    if is_copy(section.model):
        raise RecipeError(
            f"student {section.model!r} copies a network that knows no time",
            hint='data.encode = "direct", still images',
        )
    if len(input_shape) in (2, 4) and input_shape[0] != section.timesteps:
        raise RecipeError(f"images have {input_shape[0]} time steps, and student.timesteps is {section.timesteps}")


def is_copy(name: str) -> bool:
    """Whether a student is made of its teacher."""
    return not is_reference(name) and isinstance(STUDENTS.get(name), CopyKind)


def student_stages(name: str) -> tuple[str, ...]:
    """The populations at the ends of a student's stages, as far as they are known."""
    kind = load_own(name).value if is_reference(name) else STUDENTS.get(name)
    return kind.stages if isinstance(kind, StudentKind) else ()


def _own(section: StudentSection, input_shape: Shape, classes: int, *, in_time: bool) -> nn.Module:
    title = f"student {title_of(section.model)}"
    kind = load_own(section.model).value
    if isinstance(kind, StudentKind):
        return kind.build(section, image_shape(input_shape, title), classes)
    offered = {"section": section, "input_shape": input_shape, "classes": classes, "timesteps": section.timesteps}
    layers = own_network(section.model, offered)
    shown = give_frames(layers) if in_time else layers
    answer = ask(shown, title, input_shape, TRIED * section.timesteps if in_time else TRIED)
    wanted = (section.timesteps * TRIED, classes)
    if tuple(answer.shape) not in (wanted, (section.timesteps, TRIED, classes)):
        raise RecipeError(
            f"{title} answers {TRIED} images with {tuple(answer.shape)}, not with {wanted}",
            hint=f"its output spikes at each of {section.timesteps} steps (student.timesteps), or what drives them",
        )
    return layers
