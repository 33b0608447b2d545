"""Memory that the batches of a torch program use one after the other."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch

__all__ = ["Scratch"]


class Scratch(threading.local):
    """Tensors by name, without values: fresh pages would cost more than what is computed in them.

    A name taken again is the same memory, whatever its shape: who keeps a tensor copies it. Each thread has its own.

    Args:
        device: of torch.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.held: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of this shape, contiguous."""
        elements = math.prod(shape)
        held = self.held.get((name, dtype))
        if held is None or held.numel() < elements:
            held = self.held[name, dtype] = torch.empty(elements, dtype=dtype, device=self.device)
        return held[:elements].view(*shape)
