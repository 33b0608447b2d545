"""How often a teacher or a student is right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kdsnn.data.datasets import Split
from kdsnn.models.students import Student

__all__ = ["accuracy", "right_answers"]

BATCH = 250  # images at once


def accuracy(model: nn.Module, split: Split) -> float:
    """Share of right answers of a teacher or a student, on CPU or wherever the model is."""
    return float(right_answers(model, split).mean())


def right_answers(model: nn.Module, split: Split) -> npt.NDArray[np.bool_]:
    """Whether a teacher or a student is right on each image, on CPU or wherever the model is."""
    device = next(model.parameters()).device
    right = np.empty(len(split.labels), dtype=np.bool_)
    model.eval()
    with torch.inference_mode():
        for begin in range(0, len(right), BATCH):
            x = torch.tensor(split.images[begin : begin + BATCH]).to(device).float() / 255
            answer = model(x).cpu().numpy()
            scores = answer.sum(axis=0) if isinstance(model, Student) else answer
            right[begin : begin + BATCH] = scores.argmax(axis=1) == split.labels[begin : begin + BATCH]
    return right
