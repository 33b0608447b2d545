"""The response of rates that noise makes continuous."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import mixed, soft_cross_entropy, task_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "noise_smoothed"]


def noise_smoothed(seen: Seen, section: DistillSection) -> torch.Tensor:
    """`response` with the learnt scale * (rates + Gaussian noise) as logits; the labels judge the rates as they are.

    The noise has the standard deviation `rate_noise`. After the noise-smoothed logits of CKDSNN (Liu et al., arXiv
    2511.06902).
    """
    assert seen.scale is not None  # noqa: S101  the loss says that it learns one
    noisy = seen.rates + section.rate_noise * torch.randn_like(seen.rates)
    soft = soft_cross_entropy(seen.scale * noisy, seen.teacher, section.temperature)
    return mixed(soft, task_term(seen.rates, seen.labels, section), section)


def without_noise(seen: Seen, _section: DistillSection) -> torch.Tensor:
    """The learnt scale times the rates, `(B, classes)`."""
    assert seen.scale is not None  # noqa: S101  the loss says that it learns one
    return seen.scale * seen.rates


LOSS = Loss(noise_smoothed, learns_scale=True, mixes=True, logits=without_noise)
