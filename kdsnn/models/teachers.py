"""ANN teachers by name: those in `kdsnn.choices.TEACHERS`, a user's own, and those of torchvision."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from kdsnn.choices import TEACHERS
from kdsnn.errors import RecipeError
from kdsnn.models.in_time import frame_of, see_means
from kdsnn.models.kinds import TeacherKind, image_shape
from kdsnn.models.neurons import Normalize
from kdsnn.models.own import TRIED, ask, own_network
from kdsnn.own_code.functions import is_reference, load_own, title_of
from kdsnn.own_code.source import TORCHVISION
from kdsnn.recipes.schema import TeacherSection

__all__ = ["bare", "build_teacher", "teacher_stages"]

SMALLEST = 4  # pixels of a side that every teacher can take: cnn pools twice by 2
NARROWEST = 16  # channels of the narrowest layer of any teacher, at width 1


def build_teacher(section: TeacherSection, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The teacher of a recipe, with new random weights; from images in [0, 1] to logits `(B, classes)`.

    Of images in time, `input_shape` `(T, C, H, W)`, it sees the mean over the steps.

    Raises:
        RecipeError: its width leaves it no channels, the images are too small, or it is no such network.
        InputError: a user's own function is not there, or fails.
    """
    return see_means(_of_frames(section, frame_of(input_shape), classes), input_shape)


def _of_frames(section: TeacherSection, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    if is_reference(section.model):
        model = _own(section, input_shape, classes)
    else:
        kind: TeacherKind = TEACHERS.get(section.model)
        if round(NARROWEST * section.width) < 1:
            raise RecipeError(f"width {section.width} leaves no channels of teacher {section.model!r}")
        channels, *sides = image_shape(input_shape, f"teacher {section.model!r}")
        if min(sides) < SMALLEST:
            raise RecipeError(f"teachers take images of {SMALLEST}x{SMALLEST} at least, not {input_shape}")
        model = kind.build(channels, classes, section.width)
    if section.mean is None and section.std is None:
        return model
    image_shape(input_shape, "teacher.mean and teacher.std")
    mean, std = section.mean or (0.0,) * input_shape[0], section.std or (1.0,) * input_shape[0]
    if not len(mean) == len(std) == input_shape[0]:
        raise RecipeError(f"teacher.mean and teacher.std are of each channel, and images have {input_shape[0]}")
    return nn.Sequential(OrderedDict(normalize=Normalize(mean, std), net=model))


def bare(section: TeacherSection, teacher: nn.Module) -> nn.Module:
    """A teacher without the normalisation that its section puts in front: what a file of its weights is of."""
    return teacher if section.mean is None and section.std is None else teacher.get_submodule("net")


def teacher_stages(name: str) -> tuple[str, ...]:
    """The modules at the ends of a teacher's stages, as far as they are known."""
    if not is_reference(name):
        return TEACHERS.get(name).stages  # type: ignore[no-any-return]
    own = None if name.startswith(f"{TORCHVISION}:") else load_own(name).value
    return own.stages if isinstance(own, TeacherKind) else ()


def _own(section: TeacherSection, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    title, offered = title_of(section.model), {"input_shape": input_shape, "classes": classes, "width": section.width}
    kind = None if section.model.startswith(f"{TORCHVISION}:") else load_own(section.model).value
    if isinstance(kind, TeacherKind):
        return kind.build(image_shape(input_shape, title)[0], classes, section.width)
    model = own_network(section.model, offered)
    if (answer := ask(model, f"teacher {title}", input_shape)).shape != (TRIED, classes):
        raise RecipeError(
            f"teacher {title} answers {TRIED} images with {tuple(answer.shape)}, not with {classes} logits each"
        )
    return model
