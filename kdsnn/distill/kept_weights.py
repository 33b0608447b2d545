"""Which weights a training ends with: those of its last step, their moving average, or the best by validation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kdsnn.errors import InputError

__all__ = ["Weights"]

Tensors = Mapping[str, torch.Tensor]


class Weights:
    """The weights of a model in training, and the copies of them that are kept.

    Args:
        model: in training.
        ema_decay: of the moving average of weights and buffers, which begins at the first step; None keeps none.
    """

    def __init__(self, model: nn.Module, ema_decay: float | None) -> None:
        self.model = model
        self.average: AveragedModel | None = None
        if ema_decay is not None:
            average = get_ema_multi_avg_fn(ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.best: Tensors | None = None

    @property
    def current(self) -> nn.Module:
        """The model to be judged: the average, where there is one."""
        return self.model if self.average is None else self.average.module

    def step(self) -> None:
        """Takes the model's weights after a step into the average."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def keep(self) -> None:
        """Keeps the current weights as the best."""
        self.best = {name: tensor.detach().clone() for name, tensor in self.current.state_dict().items()}

    def copies(self) -> dict[str, Tensors]:
        """What a checkpoint holds beside the model."""
        average = {} if self.average is None else {"ema": self.average.module.state_dict()}
        return average | ({} if self.best is None else {"best": self.best})

    def restore(self, copies: Mapping[str, Tensors], *, judged: bool) -> None:
        """Goes on from the copies of a checkpoint, which fit the model.

        Raises:
            InputError: one is missing.
        """
        needed = {"ema": self.average is not None, "best": judged}
        missing = [name for name, need in needed.items() if need and name not in copies]
        if missing:
            raise InputError(f"the checkpoint lacks the weights {' and '.join(map(repr, missing))}")
        if self.average is not None:
            self.average.module.load_state_dict(copies["ema"])
            self.average.n_averaged.fill_(1)  # torch copies the first weights, and averages from there
        if judged:
            self.best = copies["best"]

    def finish(self) -> None:
        """Gives the model the weights that count: the best, or else the average, or else its own."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
