"""Values of populations between numpy, where channels come first, and torch, where they come last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kdsnn.network import Population, neuron_of

__all__ = ["bias_of", "channels_first", "channels_last"]


def channels_last(array: npt.NDArray[Any], population: Population) -> npt.NDArray[Any]:
    """Values `(..., *shape)` of a population with the channels last, where it has channels."""
    return np.ascontiguousarray(np.moveaxis(array, -3, -1) if len(population.shape) == 3 else array)


def channels_first(values: torch.Tensor, population: Population) -> npt.NDArray[Any]:
    """Values of a population with the channels first again; a view where torch is on the CPU."""
    array: npt.NDArray[Any] = values.cpu().numpy()
    return np.moveaxis(array, -1, -3) if len(population.shape) == 3 else array


def bias_of(population: Population, device: torch.device) -> torch.Tensor:
    """What enters the potential of each neuron at every step, int32."""
    neuron = neuron_of(population)
    bias = neuron.bias.astype(np.int32).reshape(population.shape) << neuron.bias_exponent
    return torch.from_numpy(channels_last(bias, population)).to(device)
