"""What a student and a teacher are registered as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdsnn.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from kdsnn.recipes.schema import StudentSection

__all__ = ["CopyKind", "StudentKind", "TeacherKind", "image_shape"]

Shape = tuple[int, int, int]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StudentKind:
    """A kind of spiking student.

    Attributes:
        build: from a recipe's section, the shape `(C, H, W)` of an image and the number of classes to its layers, which
            map images `(B, C, H, W)` in [0, 1] to output spikes `(T * B, classes)`.
        stages: names of the populations at the ends of its stages, whose features are compared with the teacher's.
            Of a pre-activation net, that is the first population of the next stage.
        options: fields of the section that it takes beside the width.
    """

    build: Callable[[StudentSection, Shape, int], nn.Module]
    stages: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CopyKind:
    """A kind of spiking student that is made of its teacher.

    Attributes:
        build: from the teacher, a recipe's section, the shape of an image, and training images `(N, C, H, W)` in
            [0, 1] or None, to its layers, and the names of its populations with those of the teacher's modules whose
            features they have. Without images its weights are of no use yet.
        options: as of a `StudentKind`.
    """

    build: Callable[[nn.Module, StudentSection, tuple[int, ...], torch.Tensor | None], tuple[nn.Module, Pairs]]
    options: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TeacherKind:
    """A kind of ANN teacher.

    Attributes:
        build: from channels of an image, number of classes and width to a module from images to logits.
        stages: names of the modules at the ends of its stages, whose features are taken before a ReLU: what goes into a
            ReLU, or what a BatchNorm puts out in front of one. Of a pre-activation net, that is the first BatchNorm of
            the next stage.
    """

    build: Callable[[int, int, float], nn.Module]
    stages: tuple[str, ...] = ()


def image_shape(shape: tuple[int, ...], what: str) -> Shape:
    """The shape of an image for a network that takes images alone; raises RecipeError for vectors."""
    if len(shape) != 3:
        raise RecipeError(f"{what} takes images (C, H, W), and the data are vectors of {shape[0]} numbers")
    channels, height, width = shape
    return channels, height, width
