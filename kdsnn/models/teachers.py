"""ANN teachers by name: those in `kdsnn.choices.TEACHERS`."""

from __future__ import annotations

from torch import nn

from kdsnn.choices import TEACHERS
from kdsnn.errors import RecipeError
from kdsnn.models.kinds import TeacherKind, image_shape
from kdsnn.recipes.schema import TeacherSection

__all__ = ["build_teacher"]

SMALLEST = 4  # pixels of a side that every teacher can take: cnn pools twice by 2
NARROWEST = 16  # channels of the narrowest layer of any teacher, at width 1


def build_teacher(section: TeacherSection, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The teacher of a recipe, with new random weights; from images in [0, 1] to logits `(B, classes)`.

    Raises:
        RecipeError: its width leaves it no channels, or the images are too small.
    """
    kind: TeacherKind = TEACHERS.get(section.model)
    if round(NARROWEST * section.width) < 1:
        raise RecipeError(f"width {section.width} leaves no channels of teacher {section.model!r}")
    channels, *sides = image_shape(input_shape, f"teacher {section.model!r}")
    if min(sides) < SMALLEST:
        raise RecipeError(f"teachers take images of {SMALLEST}x{SMALLEST} at least, not {input_shape}")
    return kind.build(channels, classes, section.width)
