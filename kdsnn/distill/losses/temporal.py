"""The response at each time step, with the ensemble of the steps as a second teacher."""

from __future__ import annotations

import torch

from kdsnn.distill.losses.loss import Loss, Seen
from kdsnn.distill.losses.terms import mean_logits, mixed, soft_cross_entropy, task_term
from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSS", "temporal"]


def temporal(seen: Seen, section: DistillSection) -> torch.Tensor:
    """`drive` with z[t], the learnt scale times the drive of a step, instead of their mean; and the ensemble's part.

    That is `ensemble` * the mean over the steps of tau^2 * CE(softmax(z[t] / tau), softmax(mean of z / tau)), where the
    mean is taken as it is: it learns nothing from its steps. After Yu et al. 2025 (arXiv 2501.15925), where the labels
    judge each step, too; here they judge the rates.
    """
    tau, steps = section.temperature, seen.logits
    soft = soft_cross_entropy(steps, seen.teacher, tau)
    together = soft_cross_entropy(steps, steps.mean(dim=0).detach(), tau)
    return mixed(soft, task_term(seen.rates, seen.labels, section), section) + section.ensemble * together


LOSS = Loss(temporal, needs_drive=True, learns_scale=True, mixes=True, logits=mean_logits)
