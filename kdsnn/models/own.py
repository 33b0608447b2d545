"""Networks that are no part of kdsnn, by reference: a user's own function, or a model of torchvision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kdsnn.errors import RecipeError
from kdsnn.models.trial import answer_to_zeros
from kdsnn.own_code.functions import OwnCode, load_own
from kdsnn.own_code.source import TORCHVISION
from kdsnn.registry import suggestion

__all__ = ["ask", "own_network"]

Shape = tuple[int, ...]
TRIED = 2  # images that a new network is shown


def own_network(reference: str, offered: dict[str, Any]) -> nn.Module:
    """The module that a reference stands for.

    Args:
        reference: `FILE.py:FUNCTION`, `MODULE:FUNCTION` or `torchvision:NAME`.
        offered: arguments by name, of which the function is given those that it names.

    Raises:
        InputError: there is none, or its code fails.
        RecipeError: it is no module.
    """
    where, _, name = reference.rpartition(":")
    if where == TORCHVISION:
        return _of_torchvision(name, int(offered["classes"]))
    own: OwnCode = load_own(reference)
    made = own.value if isinstance(own.value, nn.Module) else own.call(**offered)
    if not isinstance(made, nn.Module):
        raise RecipeError(f"{own.title} returns a {type(made).__name__}", hint="it shall return a torch.nn.Module")
    return made


@torch.no_grad()
def ask(model: nn.Module, title: str, input_shape: Shape, count: int = TRIED) -> torch.Tensor:
    """What a new network answers to black images, two or as many; nothing is left changed.

    Raises:
        RecipeError: it cannot take them, or answers with no tensor.
    """
    try:
        answer = answer_to_zeros(model, input_shape, count)
    except Exception as error:
        raise RecipeError(f"{title} cannot take images of {input_shape}: {type(error).__name__}: {error}") from error
    if not isinstance(answer, torch.Tensor):
        raise RecipeError(f"{title} answers with a {type(answer).__name__}", hint="it shall return one tensor")
    return answer


def _of_torchvision(name: str, classes: int) -> nn.Module:
    from torchvision.models import get_model, list_models

    if name not in list_models():
        raise RecipeError(f"torchvision has no model {name!r}", hint=suggestion(name, list_models(), "models"))
    try:
        model: nn.Module = get_model(name, weights=None, num_classes=classes)
    except Exception as error:
        raise RecipeError(f"torchvision:{name} cannot be built: {type(error).__name__}: {error}") from error
    return model
