"""What a network answers, without changing it."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["answer_to_zeros"]


def answer_to_zeros(model: nn.Module, input_shape: tuple[int, ...], images: int = 1) -> torch.Tensor:
    """What a network answers to black images, in eval mode; it is left as it is, where it raises, too."""
    training = {module: module.training for module in model.modules()}
    device = next((parameter.device for parameter in model.parameters()), None)
    try:
        with torch.no_grad():
            answer: torch.Tensor = model.eval()(torch.zeros(images, *input_shape, device=device))
    finally:
        for module, was in training.items():
            module.training = was
    return answer
