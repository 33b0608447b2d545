"""The losses against formulas written out in numpy."""

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from kdsnn.choices import LOSSES
from kdsnn.distill.losses.feature import partial_l2
from kdsnn.distill.losses.layer_rates import normalised_l2
from kdsnn.distill.losses.loss import Seen, annealed, check_alpha
from kdsnn.errors import RecipeError
from kdsnn.recipes.schema import DistillSection

FloatArray = npt.NDArray[np.float64]
LABELS = np.array([0, 1, 2, 3, 1, 1])
EXACT = {"rel": 1e-12}  # float64 on both sides, summed in another order


def softmax(x: FloatArray) -> FloatArray:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(student: FloatArray, target: FloatArray) -> float:
    return float(-(target * np.log(softmax(student))).sum(axis=1).mean())


def squared(rates: FloatArray, target: FloatArray) -> float:
    return float(((rates - target) ** 2).sum(axis=1).mean())


TEACHER = np.random.default_rng(2).normal(0, 3, (6, 4))
STEPS = (np.random.default_rng(1).random((5, 6, 4)) < 0.4).astype(np.float64)
RATES = STEPS.mean(axis=0)
HARD = np.eye(4)[LABELS]


def maps(seed: int, pairs: int = 2) -> list[tuple[FloatArray, FloatArray]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, 1, (6, 3, 4, 5)), rng.normal(0, 1, (6, 3, 4, 5))) for _ in range(pairs)]


def seen(features: list[tuple[FloatArray, FloatArray]] | None = None) -> Seen:
    pairs = tuple((torch.from_numpy(s), torch.from_numpy(t)) for s, t in features or [])
    return Seen(torch.from_numpy(STEPS), torch.from_numpy(TEACHER), torch.from_numpy(LABELS), pairs)


def the_papers(rates: FloatArray, tau: float, alpha: float, scale: float) -> float:
    student = rates * scale
    soft = cross_entropy(student / tau, softmax(TEACHER / tau))
    return alpha * tau**2 * soft + (1 - alpha) * cross_entropy(student, HARD)


def feature_by_hand(student: FloatArray, teacher: FloatArray) -> float:
    total = 0.0
    for s, t in zip(student.ravel(), teacher.ravel(), strict=True):
        total += 0 if s <= t <= 0 else (t - s) ** 2
    return total / student.size


@pytest.mark.parametrize("tau", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_papers_response(tau: float, alpha: float) -> None:
    section = DistillSection(temperature=tau, alpha=alpha, logit_scale=3.0)
    assert float(LOSSES["response"](seen(), section)) == pytest.approx(the_papers(RATES, tau, alpha, 3.0), **EXACT)


def test_the_gradient_pulls_towards_the_teacher_alone_when_alpha_is_one() -> None:
    steps = torch.from_numpy(STEPS).requires_grad_()
    section = DistillSection(temperature=2.0, alpha=1.0)
    LOSSES["response"](replace(seen(), steps=steps), section).backward()
    student = RATES * section.logit_scale
    pull = 2.0 * (softmax(student / 2) - softmax(TEACHER / 2)) / 6  # tau^2 / tau, mean over the batch
    assert steps.grad is not None
    assert np.allclose(steps.grad.numpy(), pull * section.logit_scale / 5, rtol=1e-12, atol=1e-15)  # float64


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_papers_feature_loss(alpha: float, reduction: Literal["sum", "mean"]) -> None:
    features = maps(3)
    section = DistillSection(kind="feature", alpha=alpha, feature_scale=2.5, feature_reduction=reduction)
    part = np.mean([feature_by_hand(s, t) for s, t in features]) * (3 * 4 * 5 if reduction == "sum" else 1)
    expected = cross_entropy(RATES * section.logit_scale, HARD) + alpha * 2.5 * part
    assert float(LOSSES["feature"](seen(features), section)) == pytest.approx(expected, **EXACT)


def test_what_the_teachers_relu_swallows_is_free() -> None:
    student = torch.tensor([-2.0, -1.0, -0.5, 0.3, -0.2, 0.0]).requires_grad_()
    teacher = torch.tensor([-1.0, -1.0, -1.0, -1.0, 0.4, 0.0])
    loss = partial_l2(student, teacher)
    assert loss.item() == pytest.approx((0 + 0 + 0.25 + 1.69 + 0.36 + 0) / 6)  # float32
    loss.backward()
    assert student.grad is not None
    assert (student.grad != 0).tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize(("pairs", "elements"), [(None, 1), ((("if1", "5"),), 1), ("classifier", 60)])
def test_what_classifiers_read_is_summed_and_maps_are_averaged_unless_it_is_said(pairs: object, elements: int) -> None:
    features = maps(3)
    section = DistillSection.model_validate({"kind": "feature", "alpha": 1.0, "pairs": pairs})
    part = elements * np.mean([feature_by_hand(s, t) for s, t in features])
    expected = cross_entropy(RATES * 5, HARD) + part
    assert float(LOSSES["feature"](seen(features), section)) == pytest.approx(expected, **EXACT)


def test_both_is_the_response_and_the_features() -> None:
    features = maps(4)
    section = DistillSection(kind="both", alpha=0.3)
    part = 0.3 * np.mean([feature_by_hand(s, t) for s, t in features])
    expected = the_papers(RATES, 2.0, 0.3, 5.0) + part
    assert float(LOSSES["both"](seen(features), section)) == pytest.approx(expected, **EXACT)


def test_per_step_sees_the_rates_up_to_each_step() -> None:
    section = DistillSection(kind="per-step", alpha=0.7)
    each = [the_papers(STEPS[: t + 1].mean(axis=0), 2.0, 0.7, 5.0) for t in range(5)]
    assert float(LOSSES["per-step"](seen(), section)) == pytest.approx(np.mean(each), **EXACT)


def test_layer_rates_compares_directions_after_the_relu() -> None:
    features = maps(5, pairs=1)
    student, teacher = (x.reshape(6, -1) for x in features[0])
    active = np.maximum(teacher, 0)
    cosine = (student * active).sum(axis=1) / np.linalg.norm(student, axis=1) / np.linalg.norm(active, axis=1)
    section = DistillSection(kind="layer-rates", alpha=0.5)
    expected = cross_entropy(RATES * 5, HARD) + 0.5 * (2 - 2 * cosine).mean()
    assert float(LOSSES["layer-rates"](seen(features), section)) == pytest.approx(expected, **EXACT)


def test_a_silent_layer_has_a_finite_gradient() -> None:
    silent = torch.zeros(2, 3, 2, 2, requires_grad=True)
    normalised_l2(silent, torch.rand(2, 3, 2, 2)).backward()
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_alone_is_the_plain_cross_entropy() -> None:
    got = LOSSES["none"](seen(), DistillSection(kind="none"))
    assert float(got) == pytest.approx(cross_entropy(RATES * 5, HARD), **EXACT)


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_smoothed_labels(smoothing: float) -> None:
    target = (1 - smoothing) * HARD + smoothing / 4
    section = DistillSection(kind="none", label_smoothing=smoothing)
    assert float(LOSSES["none"](seen(), section)) == pytest.approx(cross_entropy(RATES * 5, target), **EXACT)
    squares = section.model_copy(update={"task": "mse"})
    assert float(LOSSES["none"](seen(), squares)) == pytest.approx(squared(RATES, target), **EXACT)


def test_squared_errors_instead() -> None:
    both = DistillSection(task="mse", soft="mse", temperature=3.0, alpha=0.25)
    expected = 0.25 * squared(RATES, softmax(TEACHER / 3)) + 0.75 * squared(RATES, HARD)
    assert float(LOSSES["response"](seen(), both)) == pytest.approx(expected, **EXACT)
    task = DistillSection(task="mse", alpha=0.25)
    soft = 4 * cross_entropy(RATES * 5 / 2, softmax(TEACHER / 2))
    expected = 0.25 * soft + 0.75 * squared(RATES, HARD)
    assert float(LOSSES["response"](seen(), task)) == pytest.approx(expected, **EXACT)


def test_alpha_goes_from_one_value_to_the_other() -> None:
    section = DistillSection(alpha=0.8, alpha_end=0.2)
    assert [annealed(section, p).alpha for p in (0.0, 0.5, 1.0)] == pytest.approx([0.8, 0.5, 0.2])
    constant = DistillSection(alpha=0.8)
    assert annealed(constant, 0.5) is constant


DRIVE = np.random.default_rng(7).normal(0.2, 0.6, (5, 6, 4))
THROUGH = np.random.default_rng(8).normal(0, 2, (6, 4))
SCALE = 3.5


def with_more() -> Seen:
    return replace(
        seen(),
        drive=torch.from_numpy(DRIVE),
        through=torch.from_numpy(THROUGH),
        scale=torch.tensor(SCALE, dtype=torch.float64),
    )


def test_drive_compares_what_drives_the_output_neurons_and_judges_their_rates() -> None:
    section = DistillSection(kind="drive", temperature=3.0, alpha=0.6, logit_scale=2.0)
    soft = 9 * cross_entropy(SCALE * DRIVE.mean(axis=0) / 3, softmax(TEACHER / 3))
    expected = 0.6 * soft + 0.4 * cross_entropy(RATES * 2, HARD)
    assert float(LOSSES["drive"](with_more(), section)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("ensemble", [0.0, 0.3])
def test_temporal_compares_each_step_with_the_teacher_and_with_all_steps_together(ensemble: float) -> None:
    section = DistillSection(kind="temporal", temperature=2.0, alpha=0.6, ensemble=ensemble)
    each = [4 * cross_entropy(SCALE * d / 2, softmax(TEACHER / 2)) for d in DRIVE]
    together = [4 * cross_entropy(SCALE * d / 2, softmax(SCALE * DRIVE.mean(axis=0) / 2)) for d in DRIVE]
    expected = 0.6 * np.mean(each) + 0.4 * cross_entropy(RATES * 5, HARD) + ensemble * np.mean(together)
    assert float(LOSSES["temporal"](with_more(), section)) == pytest.approx(expected, **EXACT)


def test_all_steps_together_learn_nothing_from_their_steps() -> None:
    """The gradient of CE(softmax(z), target) is softmax(z) - target, if the target is a number."""
    drive = torch.from_numpy(DRIVE).requires_grad_()
    section = DistillSection(kind="temporal", temperature=1.0, alpha=0.0, ensemble=1.0)
    LOSSES["temporal"](replace(with_more(), drive=drive), section).backward()
    target = softmax(SCALE * DRIVE.mean(axis=0))
    expected = np.stack([SCALE * (softmax(SCALE * d) - target) for d in DRIVE]) / (5 * 6)
    assert drive.grad is not None
    assert np.allclose(drive.grad.numpy(), expected, rtol=1e-9, atol=1e-14)


def test_noise_smooths_the_rates_for_the_teacher_and_not_for_the_labels() -> None:
    section = DistillSection(kind="noise-smoothed", alpha=0.6, rate_noise=0.2)
    torch.manual_seed(3)
    noisy = RATES + 0.2 * torch.randn_like(torch.from_numpy(RATES)).numpy()
    torch.manual_seed(3)
    expected = 0.6 * 4 * cross_entropy(SCALE * noisy / 2, softmax(TEACHER / 2)) + 0.4 * cross_entropy(RATES * 5, HARD)
    assert float(LOSSES["noise-smoothed"](with_more(), section)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_laf_is_judged_by_the_teachers_classifier(alpha: float) -> None:
    section = DistillSection(kind="laf", temperature=2.0, alpha=alpha)
    expected = cross_entropy(RATES * 5, HARD) + alpha * 4 * cross_entropy(THROUGH / 2, softmax(TEACHER / 2))
    assert float(LOSSES["laf"](with_more(), section)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("kind", ["both", "drive", "noise-smoothed", "per-step", "response", "temporal"])
def test_a_share_is_at_most_one(kind: str) -> None:
    check_alpha(DistillSection(kind=kind, alpha=1.0, alpha_end=0.0))
    with pytest.raises(RecipeError, match=f"distill.alpha is 1.5: in the loss '{kind}' it is the teacher's share"):
        check_alpha(DistillSection(kind=kind, alpha=1.5))
    with pytest.raises(RecipeError, match=r"distill\.alpha_end is 2"):
        check_alpha(DistillSection(kind=kind, alpha_end=2.0))


@pytest.mark.parametrize("kind", ["feature", "laf", "layer-rates", "none"])
def test_a_weight_may_be_larger(kind: str) -> None:
    check_alpha(DistillSection(kind=kind, alpha=30.0))


@pytest.mark.parametrize("task", ["ce", "mse"])
def test_an_image_without_a_label_has_no_part_in_the_loss_of_the_labels(task: Literal["ce", "mse"]) -> None:
    labelled = torch.tensor([0, -1, 2, -1, 1, -1])
    section = DistillSection(kind="none", task=task, label_smoothing=0.1)
    target, chosen = 0.9 * HARD[[0, 2, 4]] + 0.1 / 4, RATES[[0, 2, 4]]
    expected = cross_entropy(chosen * 5, target) if task == "ce" else squared(chosen, target)
    assert float(LOSSES["none"](replace(seen(), labels=labelled), section)) == pytest.approx(expected, **EXACT)
    none = LOSSES["none"](replace(seen(), labels=torch.full((6,), -1)), section)
    assert float(none) == 0


def test_what_a_loss_needs() -> None:
    assert [name for name in LOSSES if not LOSSES[name].needs_teacher] == ["none"]
    assert [name for name in LOSSES if LOSSES[name].needs_features] == ["both", "feature", "layer-rates"]
    assert [name for name in LOSSES if LOSSES[name].needs_drive] == ["drive", "temporal"]
    assert [name for name in LOSSES if LOSSES[name].needs_classifier] == ["laf"]
    assert [name for name in LOSSES if LOSSES[name].learns_scale] == ["drive", "noise-smoothed", "temporal"]
