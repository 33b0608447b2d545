"""`kdsnn.spiking`: a spiking copy of a module, from Python."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kdsnn.errors import InputError
from kdsnn.models.spiking_copy.copy import PERCENTILE, spiking_copy
from kdsnn.models.students import Student
from kdsnn.recipes.schema import StudentSection

__all__ = ["spiking"]


def spiking(
    ann: nn.Module,
    images: npt.NDArray[np.uint8] | torch.Tensor,
    *,
    timesteps: int = 4,
    readout: Literal["rate", "membrane"] = "rate",
    percentile: float = PERCENTILE,
) -> Student:
    """A spiking copy of a ReLU network, with its weights: what `student.model = "spiking-copy"` starts from.

    Its neurons reset to zero, so their rates are 1, 1/2, 1/3, ... of a spike a step, and follow the ANN's activations
    coarsely: it needs training (`kdsnn distill`). In eval mode.

    Args:
        ann: the ReLU network, from images in [0, 1] to logits; it is left as it is.
        images: some hundred training images `(N, C, H, W)` or vectors `(N, F)`, by whose activations weights are
            balanced: uint8, or floats in [0, 1].
        timesteps: number of time steps T.
        readout: how a class is read from the output: `rate` (spikes over T) or `membrane` (potential after T steps).
        percentile: percentile of a layer's activations that becomes one spike a step; 0 leaves the weights as they are.

    Raises:
        LoweringError: the ANN holds what has no counterpart in a spiking network; all of it at once.
        InputError: these are no images.
    """
    shown = torch.as_tensor(images)
    shown = shown.float() / 255 if shown.dtype == torch.uint8 else shown.float()
    if shown.ndim not in (2, 4) or not len(shown) or not 0 <= float(shown.min()) <= float(shown.max()) <= 1:
        raise InputError(f"{tuple(shown.shape)} are no images (N, C, H, W) of uint8, or of floats in [0, 1]")
    section = StudentSection(model="spiking-copy", timesteps=timesteps, readout=readout, percentile=percentile)
    layers, pairs = spiking_copy(ann, section, tuple(shown.shape[1:]), shown)
    return Student(layers, timesteps, pairs).eval()
