"""Evaluates a network on targets, and keeps what came out."""

from __future__ import annotations

from collections.abc import Sequence

from kdsnn.choices import QUICK_TARGET
from kdsnn.errors import KdsnnError
from kdsnn.evaluation import Curve, Evaluation, evaluate_each
from kdsnn.evaluation.on_pool import evaluate_on
from kdsnn.jobs.local_processes import Pool
from kdsnn.steps.evaluations import keep
from kdsnn.steps.images import Selection, selection_of
from kdsnn.steps.models import Model, ModelLike, load
from kdsnn.steps.targets import target_of
from kdsnn.targets.base import Progress, Target

__all__ = ["evaluate", "evaluate_model", "evaluate_on_targets"]


def evaluate(
    model: ModelLike = None,
    target: str | Target = QUICK_TARGET,
    data: object = None,
    *,
    dataset: object = None,
    samples: int | None = None,
    encode: str | None = None,
    data_range: tuple[float, float] | None = None,
    curve: bool | Curve = False,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Evaluation:
    """Runs images on a target and compares every spike and every count with the reference.

    A run folder keeps the result.

    Args:
        model: see `kdsnn.load`.
        target: name of a target (`kdsnn targets`), or a target.
        data: images to run, all of them, with or without labels (docs/data.md), or a `Selection` of them; None takes
            the test images of the data set that the model was trained on.
        dataset: name of a data set whose test images are run instead.
        samples: number of images at most, drawn by a fixed seed.
        encode: how still images are shown, one of `kdsnn list encoders`; None shows them as in training.
        data_range: the values in the data that become pixels of 0 and 255, where the data do not say it.
        curve: whether to also find the predictions after each time step, and what stopping early saves
            (`Evaluation.in_time`); `Curve(margins=(2, 5))` sets margins of your own.
        time_limit_s: seconds after which the run is given up; None sets no limit.
        progress: called with the number of images done.
        options: options of a target that is given by name, such as `lanes=4`.

    Raises:
        VerificationError: the target computed something else, or counted otherwise.
        KdsnnError: there is no such model, target or data, or the target cannot run it.
    """
    chosen, opened = target_of(target, options), load(model)
    shown = selection_of(opened, data, dataset=dataset, samples=samples, encode=encode, data_range=data_range)
    asked = curve if isinstance(curve, Curve) else Curve() if curve else None
    return evaluate_model(opened, chosen, shown, curve=asked, time_limit_s=time_limit_s, progress=progress)


def evaluate_model(
    model: Model,
    target: Target,
    shown: Selection,
    *,
    curve: Curve | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Evaluates a model on a target, compared with the reference; a run keeps it (`kdsnn.steps.evaluations`).

    With a pool, its workers each take a share of the images.

    Raises:
        KdsnnError: see `kdsnn.evaluation.on_targets`.
    """
    if pool is not None:
        result = evaluate_on(
            pool,
            model.network,
            target,
            shown.images,
            shown.labels,
            curve=curve,
            time_limit_s=time_limit_s,
            progress=progress,
        )
        return _keep(model, target, shown, result)
    (outcome,) = evaluate_on_targets(model, [target], shown, curve=curve, time_limit_s=time_limit_s, progress=progress)
    if isinstance(outcome, KdsnnError):
        raise outcome
    return outcome


def evaluate_on_targets(
    model: Model,
    targets: Sequence[Target],
    shown: Selection,
    *,
    curve: Curve | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> list[Evaluation | KdsnnError]:
    """Evaluates a model on several targets, with one run of the reference; a run keeps what came out.

    Returns:
        For each target its evaluation, or why there is none.
    """
    outcomes = evaluate_each(
        model.network, targets, shown.images, shown.labels, curve=curve, time_limit_s=time_limit_s, progress=progress
    )
    return [
        _keep(model, target, shown, outcome) if isinstance(outcome, Evaluation) else outcome
        for target, outcome in zip(targets, outcomes, strict=True)
    ]


def _keep(model: Model, target: Target, shown: Selection, result: Evaluation) -> Evaluation:
    """What is known of the images is noted, and all of it kept where there is a run."""
    result = result.noting_cut(model.network, shown.images)
    if model.run is not None:
        keep(model.run, result, target, shown.identity)
    return result
