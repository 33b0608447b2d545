"""What is measured under noise: which networks of which runs, on which images, at which levels of which noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from kdsnn.choices import NOISES
from kdsnn.data.encoders import DIRECT
from kdsnn.data.image_noise import ImageNoise
from kdsnn.distill.losses.loss import loss_of
from kdsnn.distill.student import load_student
from kdsnn.distill.teacher import load_teacher
from kdsnn.errors import InputError, UsageError
from kdsnn.network import WEIGHT_BITS, Network
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import MODULE, find_run, name_of_run, names_apart, recipe_path
from kdsnn.steps.images import READ, Selection, select_images
from kdsnn.steps.models import load
from kdsnn.targets.base import Target
from kdsnn.targets.fitting import ensure_runnable

__all__ = ["Study", "Subject", "check_kinds", "is_on_images", "open_study"]


@dataclass(frozen=True)
class Subject:
    """A network whose accuracy is measured.

    Attributes:
        name: such as `KDSNN, integer`.
        run: name of its run.
        network: a teacher or student of torch, or an integer network.
        weight_bits: in which an integer network stores a weight.
    """

    name: str
    run: str
    network: nn.Module | Network
    weight_bits: int = WEIGHT_BITS


@dataclass(frozen=True)
class Study:
    """What shall be measured: the test images, who sees them, and the noise. See `open_study`."""

    subjects: tuple[Subject, ...]
    shown: Selection
    levels: Mapping[str, tuple[float, ...]]
    seeds: int
    target: Target
    encode: str = DIRECT  # how spiking networks are shown still images, noise and all

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """Test images `(N, C, H, W)`, not encoded yet, or data in time `(N, T, C, H, W)`."""
        return self.shown.images

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Of the images, `(N,)`."""
        assert self.shown.labels is not None  # noqa: S101  data sets have labels
        return self.shown.labels

    @property
    def size(self) -> int:
        """Number of evaluations."""
        noisy = sum(len(levels) * len(self.seen_by(kind)) for kind, levels in self.levels.items())
        return len(self.subjects) + self.seeds * noisy

    def seen_by(self, kind: str) -> list[Subject]:
        """Those whom a kind of noise concerns."""
        return [s for s in self.subjects if is_on_images(kind) or isinstance(s.network, Network)]


def is_on_images(kind: str) -> bool:
    """Whether a kind of noise is on images, so that all networks see it; else it is a fault of the machine."""
    return isinstance(NOISES.get(kind), ImageNoise)


def check_kinds(kinds: Sequence[str], target: str | None = None) -> None:
    """Raises UsageError for a kind that does not exist, or one that this target cannot show."""
    for kind in kinds:
        only = getattr(NOISES.get(kind), "targets", ())
        if only and target is not None and target not in only:
            raise UsageError(
                f"target {target!r} cannot show {kind!r}: only target {' or '.join(map(repr, only))} simulates it",
                hint=f"ask for it with --target {only[0]}, or without --target",
            )


def open_study(
    run: str | None,
    against: str | None = None,
    *,
    kinds: Sequence[str] = ("gaussian",),
    levels: Sequence[float] | None = None,
    seeds: int = 3,
    samples: int | None = None,
    target: Target,
) -> Study:
    """Loads what shall be measured, and checks that it can be.

    Args:
        run: path or name of a quantized run; None is the latest.
        against: another run of the same data set, such as that of the baseline, a student without a teacher.
        kinds: of noise, names in `kdsnn.choices.NOISES`.
        levels: from 0 to 1, for each kind; None takes the usual ones.
        seeds: how often each noise is drawn, at least once.
        samples: at most so many test images, chosen as `kdsnn evaluate` chooses them.
        target: of the integer networks; lost spikes are simulated by the reference, whatever it is.

    Raises:
        UsageError: there is no such kind or level.
        InputError: there is no such run, it has no integer network, or the two have other data sets.
        DoesNotFitError, TargetUnavailableError: the target cannot run an integer network as it is.
    """
    check_kinds(kinds)
    wanted = {kind: _levels(levels or NOISES.get(kind).levels) for kind in kinds}
    folders = [find_run(run)] if against is None else [find_run(run), find_run(against)]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError(
            f"{folders[0]} is compared with itself", hint="name the run of the baseline, a student without a teacher"
        )
    for folder in folders:
        _check_has_student(folder)
    recipes = [load_recipe(recipe_path(folder)) for folder in folders]
    if len({r.data.model_dump_json(include={"dataset", "sha256", *READ}) for r in recipes}) > 1:
        sets = " and ".join(repr(recipe.data.dataset) for recipe in recipes)
        raise InputError(f"runs {folders[0]} and {folders[1]} have different data sets: {sets}")
    students = [load_student(folder)[1] for folder in folders]
    models = [load(str(folder)) for folder in folders]
    taught = [f for f, recipe in zip(folders, recipes, strict=True) if loss_of(recipe.distill).needs_teacher]
    subjects = [Subject("teacher", name_of_run(folder), load_teacher(folder)) for folder in taught[:1]]
    for title, folder, student, model in zip(_titles(folders, recipes), folders, students, models, strict=True):
        subjects.append(Subject(f"{title}, float", name_of_run(folder), student))
        subjects.append(Subject(f"{title}, integer", name_of_run(folder), model.network, _weight_bits(model.network)))
    for subject in subjects:
        if isinstance(subject.network, Network):
            ensure_runnable(target, subject.network)
    shown = select_images(models[0], dataset=recipes[0].data.dataset, samples=samples, encode=DIRECT)
    for kind in kinds:
        if shown.images.ndim in (2, 3) and is_on_images(kind) and not NOISES.get(kind).vectors:
            raise InputError(f"noise {kind!r} is on images, and {shown.identity.name} holds vectors")
        if shown.images.ndim == 5 and is_on_images(kind) and not NOISES.get(kind).frames:
            raise InputError(f"noise {kind!r} is on photographs, and {shown.identity.name} holds frames in time")
    return Study(tuple(subjects), shown, wanted, seeds, target, recipes[0].data.encode)


def _check_has_student(run: Path) -> None:
    """Raises InputError for the run of a converted module or file: it has a network alone."""
    if (run / MODULE).is_file():
        raise InputError(
            f"run {run} is of a module that was converted, and noise compares teacher, student and integer "
            "network of a run that was distilled",
            hint="name such a run; kdsnn distill makes one of a recipe (kdsnn list recipes)",
        )


def _levels(levels: Sequence[float]) -> tuple[float, ...]:
    for level in levels:
        if not 0 <= level <= 1:
            raise UsageError(f"level {level:g} is not from 0 to 1")
    return tuple(sorted(set(levels) - {0}))


def _titles(folders: Sequence[Path], recipes: Sequence[Recipe]) -> list[str]:
    """What each student is called: by how it was trained, and by its run where that is the same."""
    titles = ["KDSNN" if loss_of(recipe.distill).needs_teacher else "baseline" for recipe in recipes]
    if len(set(titles)) == len(titles):
        return titles
    names = names_apart(folders)
    return [f"{title} ({name})" for title, name in zip(titles, names, strict=True)]


def _weight_bits(network: Network) -> int:
    """In how many bits the network stores a weight, as its own file says."""
    said = network.provenance.get("weight_bits", "")
    return int(said) if said.isdecimal() and 2 <= int(said) <= WEIGHT_BITS else WEIGHT_BITS
