"""Networks side by side on the same images: what they get right, what they cost, how far they are from the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from kdsnn.choices import QUICK_TARGET
from kdsnn.energy.models import EnergyModel, load_energy_model
from kdsnn.energy.whole import never_known
from kdsnn.errors import InputError, UsageError
from kdsnn.evaluation import Evaluation
from kdsnn.run_folders import names_apart
from kdsnn.steps.comparison import Compared, Comparison, Limits
from kdsnn.steps.energy import energy_of
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import Selection, selection_of
from kdsnn.steps.models import Model, ModelLike, load
from kdsnn.steps.simulated_energy import simulated_by
from kdsnn.steps.targets import target_of
from kdsnn.targets.base import Progress, Target

__all__ = ["compare"]

Bar = Callable[[str, int], AbstractContextManager[Progress | None]]


def compare(
    *models: ModelLike,
    targets: Sequence[str | Target] = (QUICK_TARGET,),
    energy_model: str = "loihi1",
    data: object = None,
    dataset: object = None,
    samples: int | None = None,
    max_accuracy_drop: float | None = None,
    max_energy_rise: float | None = None,
    bar: Bar | None = None,
) -> Comparison:
    """Runs networks on the same images, each compared with the reference, and puts them side by side.

    The run folders keep nothing of it.

    The first model on the first target is the baseline of all others.

    Args:
        models: runs and NIR files, see `kdsnn.load`; one will do for several targets.
        targets: the targets, by name or as objects; each model runs on each of them.
        energy_model: one of `kdsnn list energy-models`, or the path of a TOML file.
        data: images to run; None takes the test images of the data set of the first model, for all of them.
        dataset: name of the data set whose test images are run instead.
        samples: number of images at most.
        max_accuracy_drop: share of the images that accuracy may lose: 0.01 is one point.
        max_energy_rise: share that energy per sample may rise: 0.1 is ten percent.
        bar: makes a progress bar from a title and a number of images.

    Returns:
        What was found, with `failures` where a limit is exceeded; its `check()` raises VerificationError then.

    Raises:
        InputError: the networks do not take the same images, or have other classes.
        UsageError: there is nothing to compare, or a limit that the figures cannot answer.
        VerificationError: a target computed something else than the reference.
    """
    if len(models) * len(targets) < 2:
        raise UsageError("one network on one target is nothing to compare", hint="name a second run, file or target")
    limits = Limits(max_accuracy_drop, max_energy_rise)
    constants = load_energy_model(energy_model)  # a wrong name shall not cost a run
    if max_energy_rise is not None:
        _ensure_known(constants)
    chosen = [target_of(target, {}) for target in targets]
    opened = [load(model) for model in models]
    shown = selection_of(opened[0], data, dataset=dataset, samples=samples)
    if max_accuracy_drop is not None and shown.labels is None:
        raise UsageError("a limit on accuracy needs a figure, and there is none", hint="give images with labels")
    _ensure_alike(opened)
    ran: list[tuple[Compared, Evaluation]] = []
    names = names_apart([model.run or model.path for model in opened])
    for name, model in zip(names, opened, strict=True):
        for target in chosen:
            ran.append(_one(name, model, target, shown, energy_model, bar, ran[0][1] if ran else None))
    return Comparison(tuple(row for row, _ in ran), constants, limits, shown.identity)


def _ensure_known(model: EnergyModel) -> None:
    """Raises UsageError where no network has a total under an energy model, before any is run."""
    if unknown := never_known(model):
        raise UsageError(
            f"a limit on energy needs a total, and {model.name} has none for any network", hint="; ".join(unknown)
        )


def _ensure_alike(models: Sequence[Model]) -> None:
    first = models[0]
    for other in models[1:]:
        if other.network.image_shape != first.network.image_shape:
            raise InputError(
                f"{other.path} takes images of {other.network.image_shape}, {first.path} of {first.network.image_shape}"
            )
        if other.network.labels != first.network.labels:
            raise InputError(f"{other.path} and {first.path} have other classes, and cannot be compared")


def _one(
    name: str,
    model: Model,
    target: Target,
    shown: Selection,
    energy_model: str,
    bar: Bar | None,
    baseline: Evaluation | None,
) -> tuple[Compared, Evaluation]:
    """A network on a target."""
    with bar(f"{name} on {target.name}", len(shown.images)) if bar else nullcontext() as progress:
        result = evaluate_model(replace(model, run=None), target, shown, progress=progress)
    same = None if baseline is None else float((result.predictions == baseline.predictions).mean())
    projections, network = model.network.projections, model.network
    row = Compared(
        name=name,
        target=target.name,
        fingerprint=network.fingerprint(),
        samples=result.samples,
        accuracy=result.accuracy,
        agreement=same,
        counts={field: total / result.samples for field, total in result.counts.totals().items()},
        energy=energy_of(model, result, energy_model, shown.images),
        simulated=simulated_by(result),
        matches_reference=bool(result.compared),
        edges=result.edges,
        samples_per_s=result.samples / result.wall_s,
        neurons=sum(population.neurons for population in network.spiking),
        weights=sum(projection.op.weight.size for projection in projections),
        nonzero_weights=sum(int((projection.op.weight != 0).sum()) for projection in projections),
        timesteps=network.timesteps,
    )
    return row, result
