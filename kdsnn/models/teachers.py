"""ANN teachers. To add one: a builder, and a line in `TEACHERS`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.cnn import cnn
from kdsnn.models.preact import preresnet20, wrn28_4
from kdsnn.models.pyramidnet import pyramidnet18
from kdsnn.models.resnet import resnet18
from kdsnn.recipes.schema import TeacherSection

__all__ = ["TEACHERS", "build_teacher", "teacher_names"]

Shape = tuple[int, int, int]
SMALLEST = 4  # pixels of a side that every teacher can take: cnn pools twice by 2
NARROWEST = 16  # channels of the narrowest layer of any teacher, at width 1
TEACHERS: dict[str, Callable[[int, int, float], nn.Module]] = {
    "cnn": cnn,
    "preresnet20": preresnet20,
    "pyramidnet18": pyramidnet18,
    "resnet18": resnet18,
    "wrn28-4": wrn28_4,
}


def build_teacher(section: TeacherSection, input_shape: Shape, classes: int) -> nn.Module:
    """The teacher of a recipe, with new random weights; from images in [0, 1] to logits `(B, classes)`.

    Raises:
        RecipeError: there is no such teacher, its width leaves it no channels, or the images are too small.
    """
    if section.model not in TEACHERS:
        raise RecipeError(f"there is no teacher {section.model!r}", hint=f"teachers are: {', '.join(teacher_names())}")
    if round(NARROWEST * section.width) < 1:
        raise RecipeError(f"width {section.width} leaves no channels of teacher {section.model!r}")
    if min(input_shape[1:]) < SMALLEST:
        raise RecipeError(f"teachers take images of {SMALLEST}x{SMALLEST} at least, not {input_shape}")
    return TEACHERS[section.model](input_shape[0], classes, section.width)


def teacher_names() -> list[str]:
    """Names of all teachers."""
    return sorted(TEACHERS)
