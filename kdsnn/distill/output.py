"""Where a student's answer is made: its layer of output neurons, and the last linear layer, which reads features."""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.neurons import MultiStep
from kdsnn.models.students import Student
from kdsnn.models.trial import answer_to_zeros
from kdsnn.own_code.functions import title_of

__all__ = ["classifier", "output_neurons"]

DRIVES = (
    nn.Identity,
    nn.Linear,
    nn.modules.batchnorm._BatchNorm,
)  # a student may end in these: what it puts out is a drive


def classifier(model: nn.Module, whose: str, title: str) -> tuple[str, nn.Linear]:
    """Name and module of the last linear layer of a network: what comes into it are the features it answers by.

    Raises:
        RecipeError: there is none.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise RecipeError(f"{whose} {title_of(title)!r} ends in no linear layer, and this loss needs one")
    return found[-1]


def output_neurons(student: Student, input_shape: tuple[int, ...], title: str) -> str | None:
    """Name of the layer of the output neurons, in the student's layers; what comes into it is their drive.

    None where the student puts out that drive itself: its output neurons do not fire, their membrane is read.

    Args:
        student: on the CPU; left as it is.
        input_shape: `(C, H, W)`.
        title: name of the student's model.

    Raises:
        RecipeError: neither can be told.
    """
    last: list[tuple[str, nn.Module, torch.Tensor]] = []
    handles = [
        module.register_forward_hook(lambda m, _i, output, name=name: last.append((name, m, output)))
        for name, module in student.layers.named_modules()
        if isinstance(module, (MultiStep, *DRIVES))
    ]
    try:
        answer = answer_to_zeros(student, input_shape)
    finally:
        for handle in handles:
            handle.remove()
    for name, module, output in reversed(last):
        if (
            isinstance(output, torch.Tensor)
            and output.untyped_storage().data_ptr() == answer.untyped_storage().data_ptr()
        ):
            return name if isinstance(module, MultiStep) else None
    raise RecipeError(
        f"student {title_of(title)!r} ends in no layer of neurons that is known, and this loss asks for their drive",
        hint='end it in kdsnn.models.neurons.IF, or take a loss of the rates: distill.kind = "response"',
    )
