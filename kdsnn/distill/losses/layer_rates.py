"""Normalised rates of layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from kdsnn.distill.losses.alone import alone
from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import feature_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "layer_rates", "normalised_l2"]

SMALLEST_NORM = 1e-6  # of a feature map: a silent layer points nowhere


def layer_rates(seen: Seen, section: DistillSection) -> torch.Tensor:
    """That of the labels + alpha * `normalised_l2`, of the teacher's features after their ReLU; a mean over the pairs.

    Layer by layer as LaSNN (Hong et al. 2023), normalised as attention maps are (Zagoruyko and Komodakis 2017).
    """
    return alone(seen, section) + feature_term(lambda s, t: normalised_l2(s, t.relu()), seen, section)


def normalised_l2(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The mean over images of |S / |S| - T / |T||^2, from 0 to 4: two less twice their cosine."""
    ours, theirs = (F.normalize(x.flatten(1), dim=1, eps=SMALLEST_NORM) for x in (student, teacher))
    return (ours - theirs).square().sum(dim=1).mean()


LOSS = Loss(layer_rates, needs_features=True)
