"""Distillation losses. To add one: a function, and a line in `LOSSES`; `docs/distillation.md` shows all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from kdsnn.recipes.schema import DistillSection

__all__ = ["LOSSES", "WITH_FEATURES", "Seen", "annealed", "normalised_l2", "partial_l2", "without_features"]

Features = tuple[tuple[torch.Tensor, torch.Tensor], ...]
SMALLEST_NORM = 1e-6  # of a feature map: a silent layer points nowhere


@dataclass(frozen=True)
class Seen:
    """What a loss sees of a batch.

    Attributes:
        steps: the student's output spikes `(T, B, classes)`.
        teacher: logits `(B, classes)`; of no use where there is no teacher.
        labels: `(B,)`.
        features: of each pair of layers the student's rates, brought to the teacher's shape, and the teacher's features
            before their ReLU; both `(B, C, H, W)`.
    """

    steps: torch.Tensor
    teacher: torch.Tensor
    labels: torch.Tensor
    features: Features = ()

    @property
    def rates(self) -> torch.Tensor:
        """The student's firing rates `(B, classes)`."""
        return self.steps.mean(dim=0)


Loss = Callable[[Seen, DistillSection], torch.Tensor]


def alone(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The student without a teacher: the baseline that distillation is compared with."""
    return _task(seen.rates, seen.labels, section)


def response(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The paper's response-based loss (Xu et al. 2023).

    alpha * tau^2 * CE(softmax(student / tau), softmax(teacher / tau)) + (1 - alpha) * CE(student, labels)
    """
    return _response(seen.rates, seen, section)


def feature(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The paper's feature-based loss: that of the labels + alpha * `partial_l2`, as a mean over the pairs."""
    return alone(seen, section) + _of_features(partial_l2, seen, section)


def both(seen: Seen, section: DistillSection) -> torch.Tensor:
    """`response` and the feature part of `feature`."""
    return response(seen, section) + _of_features(partial_l2, seen, section)


def per_step(seen: Seen, section: DistillSection) -> torch.Tensor:
    """The mean over the steps of `response` for the rates up to that step: what the student would answer there.

    A loss at each step is from TET (Deng et al. 2022), which has labels only.
    """
    counted = torch.arange(1, len(seen.steps) + 1, device=seen.steps.device).reshape(-1, 1, 1)
    rates = seen.steps.cumsum(dim=0) / counted
    return torch.stack([_response(r, seen, section) for r in rates]).mean()


def layer_rates(seen: Seen, section: DistillSection) -> torch.Tensor:
    """That of the labels + alpha * `normalised_l2`, of the teacher's features after their ReLU; a mean over the pairs.

    Layer by layer as LaSNN (Hong et al. 2023), normalised as attention maps are (Zagoruyko and Komodakis 2017).
    """
    return alone(seen, section) + _of_features(lambda s, t: normalised_l2(s, t.relu()), seen, section)


def partial_l2(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The mean over all elements of 0 where S <= T <= 0, else (T - S)^2.

    Where the teacher's ReLU answers 0, the student may be as far below as it likes (Heo et al. 2019). The paper's is a
    sum: W * H * C times this mean over an image.
    """
    free = (student <= teacher) & (teacher <= 0)
    return (teacher - student).square().masked_fill(free, 0.0).mean()


def normalised_l2(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """The mean over images of |S / |S| - T / |T||^2, from 0 to 4: two less twice their cosine."""
    ours, theirs = (F.normalize(x.flatten(1), dim=1, eps=SMALLEST_NORM) for x in (student, teacher))
    return (ours - theirs).square().sum(dim=1).mean()


def annealed(section: DistillSection, progress: float) -> DistillSection:
    """The section with the alpha of a moment of the training, which goes from 0 to 1."""
    if section.alpha_end is None:
        return section
    alpha = (1 - progress) * section.alpha + progress * section.alpha_end
    return section.model_copy(update={"alpha": alpha, "alpha_end": None})


def without_features(section: DistillSection) -> DistillSection:
    """The section for one who sees no features, after the training: `response` instead, at the last alpha."""
    kind = "response" if section.kind in WITH_FEATURES else section.kind
    return annealed(section, 1.0).model_copy(update={"kind": kind})


def _response(rates: torch.Tensor, seen: Seen, section: DistillSection) -> torch.Tensor:
    return section.alpha * _soft(rates, seen.teacher, section) + (1 - section.alpha) * _task(
        rates, seen.labels, section
    )


def _task(rates: torch.Tensor, labels: torch.Tensor, section: DistillSection) -> torch.Tensor:
    """`ce` of the logits, or `mse`: the squared error of the rates, summed over the classes."""
    smoothing, classes = section.label_smoothing, rates.shape[1]
    if section.task == "mse":
        return _squared(rates, F.one_hot(labels, classes).to(rates.dtype) * (1 - smoothing) + smoothing / classes)
    return F.cross_entropy(rates * section.logit_scale, labels, label_smoothing=smoothing)


def _soft(rates: torch.Tensor, teacher: torch.Tensor, section: DistillSection) -> torch.Tensor:
    """`ce` times tau^2, or `mse`: the squared error of the rates, summed over the classes."""
    tau = section.temperature
    target = F.softmax(teacher / tau, dim=1)
    if section.soft == "mse":
        return _squared(rates, target)
    return tau**2 * F.cross_entropy(rates * section.logit_scale / tau, target)


def _squared(rates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (rates - target).square().sum(dim=1).mean()


def _of_features(
    distance: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], seen: Seen, section: DistillSection
) -> torch.Tensor:
    parts = torch.stack([distance(student, teacher) for student, teacher in seen.features])
    return section.alpha * section.feature_scale * parts.mean()


LOSSES: dict[str, Loss] = {
    "both": both,
    "feature": feature,
    "layer-rates": layer_rates,
    "none": alone,
    "per-step": per_step,
    "response": response,
}
WITH_FEATURES = frozenset({"both", "feature", "layer-rates"})
