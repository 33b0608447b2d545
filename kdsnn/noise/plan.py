"""What is measured under noise: which networks of which runs, on which images, at which levels of which noise."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from kdsnn.data.image_noise import NOISES
from kdsnn.distill.pipeline import load_student, load_teacher, teacher_folder
from kdsnn.errors import InputError, UsageError
from kdsnn.network import WEIGHT_BITS, Network
from kdsnn.recipes.schema import Recipe, load_recipe
from kdsnn.run_folders import RECIPE, find_run
from kdsnn.steps.images import select_images
from kdsnn.steps.models import open_model
from kdsnn.targets.base import Target
from kdsnn.targets.fitting import ensure_runnable

__all__ = ["BIT_FLIP", "KINDS", "REFERENCE", "SPIKE_DROP", "Kind", "Study", "Subject", "check_kinds", "open_study"]

SPIKE_DROP, BIT_FLIP = "spike-drop", "bit-flip"
REFERENCE = "reference"  # the only target that can lose spikes
PAPER = (0.01, 0.03, 0.05)  # the sigmas of the paper's table 2
BRIGHTNESS = (0.25, 0.5, 0.75, 1.0)
TURNS = (0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Kind:
    """A kind of noise: what its level is, and the levels that are usual. Level 0 is no noise, and 1 the most."""

    level: str
    levels: tuple[float, ...]


KINDS: dict[str, Kind] = {
    "gaussian": Kind("sigma, for pixels from 0 to 1", (*PAPER, 0.1, 0.2, 0.4)),
    "rotate": Kind("largest angle, as a share of a full turn", TURNS),
    "back-rand": Kind("brightness of a background of random pixels", BRIGHTNESS),
    "back-image": Kind("brightness of a background of photographs", BRIGHTNESS),
    "rot-back-image": Kind("share of a full turn, and brightness of photographs", BRIGHTNESS),
    SPIKE_DROP: Kind("probability that a spike is lost", (0.01, 0.03, 0.1, 0.2, 0.4)),
    BIT_FLIP: Kind("probability that a bit of a weight is flipped", (1e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
}


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
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    dataset: str
    levels: Mapping[str, tuple[float, ...]]
    seeds: int
    target: Target

    @property
    def size(self) -> int:
        """Number of evaluations."""
        noisy = sum(len(levels) * len(self.seen_by(kind)) for kind, levels in self.levels.items())
        return len(self.subjects) + self.seeds * noisy

    def seen_by(self, kind: str) -> list[Subject]:
        """Those whom a kind of noise concerns."""
        return [s for s in self.subjects if kind in NOISES or isinstance(s.network, Network)]


def check_kinds(kinds: Sequence[str], target: str | None = None) -> None:
    """Raises UsageError for a kind that does not exist, or one that this target cannot show."""
    for kind in kinds:
        if kind not in KINDS:
            close = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"kinds are: {', '.join(KINDS)}"
            raise UsageError(f"there is no kind of noise {kind!r}", hint=hint)
    if SPIKE_DROP in kinds and target not in (None, REFERENCE):
        raise UsageError(
            f"target {target!r} cannot lose spikes: {SPIKE_DROP} is simulated by target {REFERENCE!r} alone",
            hint=f"ask for it with --target {REFERENCE}, or without --target",
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
        against: another run of the same data set, such as that of the student alone.
        kinds: of noise, names in `KINDS`.
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
    wanted = {kind: _levels(levels or KINDS[kind].levels) for kind in kinds}
    folders = [find_run(run)] if against is None else [find_run(run), find_run(against)]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError(f"{folders[0]} is compared with itself", hint="name the run of the student alone")
    recipes = [load_recipe(folder / RECIPE) for folder in folders]
    if len({recipe.data.dataset for recipe in recipes}) > 1:
        sets = " and ".join(repr(recipe.data.dataset) for recipe in recipes)
        raise InputError(f"runs {folders[0]} and {folders[1]} have different data sets: {sets}")
    students = [load_student(folder)[1] for folder in folders]
    models = [open_model(str(folder)) for folder in folders]
    taught = [(f, recipe) for f, recipe in zip(folders, recipes, strict=True) if recipe.distill.kind != "none"]
    subjects = [Subject("teacher", folder.name, _teacher(folder, recipe)) for folder, recipe in taught[:1]]
    for title, folder, student, model in zip(_titles(folders, recipes), folders, students, models, strict=True):
        subjects.append(Subject(f"{title}, float", folder.name, student))
        subjects.append(Subject(f"{title}, integer", folder.name, model.network, _weight_bits(model.network)))
    for subject in subjects:
        if isinstance(subject.network, Network):
            ensure_runnable(target, subject.network)
    shown = select_images(models[0], samples=samples)
    assert shown.labels is not None  # noqa: S101  data sets have labels
    return Study(tuple(subjects), shown.images, shown.labels, recipes[0].data.dataset, wanted, seeds, target)


def _levels(levels: Sequence[float]) -> tuple[float, ...]:
    for level in levels:
        if not 0 <= level <= 1:
            raise UsageError(f"level {level:g} is not from 0 to 1")
    return tuple(sorted(set(levels) - {0}))


def _teacher(run: Path, recipe: Recipe) -> nn.Module:
    if not (teacher_folder(recipe) / "teacher.safetensors").is_file():
        raise InputError(f"the teacher of run {run} is gone", hint=f"train it again with: kdsnn teach {run / RECIPE}")
    return load_teacher(recipe)


def _titles(folders: Sequence[Path], recipes: Sequence[Recipe]) -> list[str]:
    """What each student is called: by how it was trained, and by its run where that is the same."""
    titles = ["SNN alone" if recipe.distill.kind == "none" else "KDSNN" for recipe in recipes]
    if len(set(titles)) == len(titles):
        return titles
    names = [folder.name for folder in folders]
    names = names if len(set(names)) == len(names) else list(map(str, folders))
    return [f"{title} ({name})" for title, name in zip(titles, names, strict=True)]


def _weight_bits(network: Network) -> int:
    """In how many bits the network stores a weight, as its own file says."""
    said = network.provenance.get("weight_bits", "")
    return int(said) if said.isdecimal() and 2 <= int(said) <= WEIGHT_BITS else WEIGHT_BITS
