"""Spiking students by name: those in `kdsnn.choices.STUDENTS`."""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.choices import STUDENTS
from kdsnn.errors import RecipeError
from kdsnn.models.kinds import StudentKind, image_shape
from kdsnn.recipes.schema import StudentSection

__all__ = ["Student", "build_student"]

OPTIONS = ("channels", "hidden")  # fields of the section that only some students take


class Student(nn.Module):
    """A spiking network over T steps.

    Attributes:
        layers: from images `(B, C, H, W)` in [0, 1] to output spikes `(T * B, classes)`, all images of a step together;
            what `kdsnn.export.lowering` reads. Where the readout is the membrane, they are what drives it at a step.
        timesteps: T.
    """

    def __init__(self, layers: nn.Module, timesteps: int) -> None:
        super().__init__()
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


def build_student(section: StudentSection, input_shape: tuple[int, ...], classes: int) -> Student:
    """The student of a recipe, with new random weights.

    Raises:
        RecipeError: it does not fit the images, or takes no such option.
    """
    kind: StudentKind = STUDENTS.get(section.model)
    given = {name for name in OPTIONS if getattr(section, name) is not None}
    if unknown := given - kind.options:
        raise RecipeError(f"student {section.model!r} takes no {' and no '.join(sorted(unknown))}", hint="use width")
    return Student(
        kind.build(section, image_shape(input_shape, f"student {section.model!r}"), classes), section.timesteps
    )
