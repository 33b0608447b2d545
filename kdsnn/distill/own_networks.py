"""A user's own networks in runs: what a run keeps of them, and by what they are known.

A run holds the files that build its networks (under `own/teacher/`) and the weights that were given, and its recipe
names these. So it can be read anywhere, whatever becomes of the originals. `own/own.json` has their sha256: a run whose
files are no longer those is refused, as is one whose function comes from an installed module that has changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from kdsnn.distill.checkpoint import load_tensors, read_given
from kdsnn.distill.losses.loss import loss_of
from kdsnn.errors import InputError
from kdsnn.files.reading import read_json
from kdsnn.files.writing import write_atomic, write_json
from kdsnn.models.students import is_copy
from kdsnn.own_code.functions import is_reference, title_of
from kdsnn.own_code.source import digest, files_of
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import recipe_path

__all__ = ["bring_along", "identity", "needs_teacher", "recipe_of"]

FOLDER, WEIGHTS, KNOWN = "own", "weights.safetensors", "own.json"


def needs_teacher(recipe: Recipe) -> bool:
    """Whether a student learns from its teacher, or is a copy of it."""
    return loss_of(recipe.distill).needs_teacher or is_copy(recipe.student.model)


def identity(recipe: Recipe) -> Recipe:
    """The recipe with what its own networks are in place of where they lie: the same for the same, wherever it is.

    Raises:
        InputError: a file is not there, or broken.
    """
    changes: dict[str, Any] = {}
    for name in _sections(recipe):
        section = getattr(recipe, name)
        update = {}
        if is_reference(section.model):
            update["model"] = f"{title_of(section.model)}@{digest(files_of(section.model))}"
        if section.weights is not None:
            update["weights"] = _digest(read_given(Path(section.weights)))
        changes[name] = section.model_copy(update=update)
    return recipe.model_copy(update=changes)


def bring_along(recipe: Recipe, run: Path) -> Recipe:
    """Puts a recipe's own networks into a run, and returns the recipe that names them there, seen from the run.

    Raises:
        InputError: a file is not there, or broken, or the run cannot be written to.
    """
    changes, known = dict[str, Any](), dict[str, Any]()
    for name in _sections(recipe):
        section, update = getattr(recipe, name), dict[str, Any]()
        inside = f"{FOLDER}/{name}"
        if is_reference(section.model):
            files = files_of(section.model)
            where, _, function = section.model.rpartition(":")
            if where.endswith(".py"):
                for file, content in files.items():
                    write_atomic(run / inside / file, content)
                update["model"] = f"{inside}/{Path(where).name}:{function}"
            known[name] = {"model": title_of(section.model), "sha256": digest(files)}
        if section.weights is not None:
            tensors = read_given(Path(section.weights))
            write_atomic(run / inside / WEIGHTS, save(tensors))
            update["weights"] = f"{inside}/{WEIGHTS}"
            known.setdefault(name, {})["weights_sha256"] = _digest(tensors)
        changes[name] = section.model_copy(update=update)
    if known:
        write_json(run / FOLDER / KNOWN, known)
    return recipe.model_copy(update=changes)


def recipe_of(run: Path) -> Recipe:
    """The recipe of a run, whose own networks are what they were when it was made.

    Raises:
        InputError: one of them has changed, or is gone.
    """
    recipe = load_recipe(recipe_path(run))
    path = run / FOLDER / KNOWN
    all_known = read_json(path) if path.is_file() else {}
    for name in ("teacher", "student"):
        section, known = getattr(recipe, name), all_known.get(name, {})
        if "sha256" in known and digest(files_of(section.model)) != known["sha256"]:
            raise InputError(
                f"the code of {name} {title_of(section.model)} is not what it was when run {run} was made",
                hint=f"put the old code back, or make another run; its sha256 stands in {path}",
            )
        if "weights_sha256" in known and _digest(load_tensors(Path(section.weights))) != known["weights_sha256"]:
            raise InputError(f"{section.weights} does not hold the weights with which run {run} was made")
    return recipe


def _sections(recipe: Recipe) -> tuple[str, ...]:
    return ("teacher", "student") if needs_teacher(recipe) else ("student",)


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    """The sha256 of weights, whatever the kind of their file."""
    return hashlib.sha256(save({name: tensors[name] for name in sorted(tensors)})).hexdigest()
