"""What a recipe trains on, made once: the data set, what is learnt from, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kdsnn.choices import DATASETS
from kdsnn.data.datasets import Dataset, Split, stratified
from kdsnn.data.encoders import DIRECT
from kdsnn.data.sources.load import is_events, load_data
from kdsnn.data.sources.source import Reading
from kdsnn.errors import InputError, RecipeError
from kdsnn.recipes.schema import DataSection, Recipe

__all__ = ["IN_MEMORY", "Preparation", "data_of", "for_teacher", "of_teacher", "prepare", "reading_of"]

VALIDATION_SEED = 0
IN_MEMORY = "data.npz"  # of a run, from its folder


@dataclass(frozen=True, eq=False)
class Preparation:
    """A recipe with its data.

    Attributes:
        recipe: what is trained, and how; with the sha256 of data of one's own.
        dataset: whole.
        split: the training images that are learnt from; labels are -1 of those without.
        held_out: training images held out for validation, where the recipe asks for that.
    """

    recipe: Recipe
    dataset: Dataset
    split: Split
    held_out: Split | None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.dataset.labels)


def prepare(recipe: Recipe, data: object = None) -> Preparation:
    """Loads the data of a recipe, or takes others, which its run shall keep as `IN_MEMORY` where they have no place.

    Raises:
        RecipeError: validation leaves nothing to learn from, fewer images are left than shall be shown without labels,
            or vectors are to be augmented.
        InputError: the data set's files are missing, broken or others, or it has fewer images than are asked for.
    """
    section = recipe.data
    if isinstance(data, str | Path):
        section = section.model_copy(update={"dataset": DataSection(dataset=str(data)).dataset, "sha256": None})
    if section.steps is None and is_events(section.dataset):
        section = section.model_copy(update={"steps": recipe.student.timesteps})
    if data is None or isinstance(data, str | Path):
        dataset = data_of(section)
    else:
        dataset = load_data(data, reading_of(section))
        section = section.model_copy(update={"dataset": IN_MEMORY, "range": None, "test_share": None})
    if section.dataset not in DATASETS:
        section = section.model_copy(update={"sha256": dataset.sha256})
    recipe = recipe.model_copy(update={"data": section})
    if recipe.data.augment != "none" and len(dataset.frame_shape) != 3:
        raise RecipeError(f"data.augment: {recipe.data.augment!r} is for images, and {dataset.name} holds vectors")
    if dataset.steps not in (None, recipe.student.timesteps):
        raise RecipeError(
            f"student.timesteps is {recipe.student.timesteps}, and {dataset.name} has {dataset.steps} time steps",
            hint=f"student.timesteps = {dataset.steps}",
        )
    return _prepared(recipe, dataset)


def data_of(section: DataSection) -> Dataset:
    """The data of a recipe.

    Raises:
        InputError: they are missing or broken, or not those that the recipe was made with.
    """
    dataset = load_data(section.dataset, reading_of(section))
    if section.sha256 not in (None, dataset.sha256):
        raise InputError(
            f"{section.dataset} is not what the recipe was made with: images or labels were changed, added or removed",
            hint="put them back, or make another run: distil from a recipe without data.sha256, or convert again",
        )
    return dataset


def reading_of(section: DataSection) -> Reading:
    """What a recipe says of its data."""
    return Reading(
        section.range,
        section.test_share,
        steps=section.steps,
        encode=section.encode,
        bin_by=section.bin_by,
        event_bits=section.event_bits,
        sensor=section.sensor,
    )


def for_teacher(prepared: Preparation) -> Preparation:
    """The same for the teacher, with the seed and the training images that it has."""
    return _prepared(of_teacher(prepared.recipe), prepared.dataset)


def of_teacher(recipe: Recipe) -> Recipe:
    """The recipe with the seed and the training images that its teacher has."""
    own, data = recipe.teacher, recipe.data
    samples = data.train_samples if own.train_samples is None else own.train_samples
    return recipe.model_copy(
        update={
            "seed": recipe.seed if own.seed is None else own.seed,
            "data": data.model_copy(
                update={
                    "train_samples": None if samples == "all" else samples,
                    "unlabelled_samples": None,
                    "encode": DIRECT,
                }  # it sees still images
            ),
            "teacher": own.model_copy(update={"seed": None, "train_samples": None}),
        }
    )


def _prepared(recipe: Recipe, dataset: Dataset) -> Preparation:
    split, held_out = _divided(dataset.train, recipe.data, recipe.seed)
    return Preparation(recipe, dataset, split, held_out)


def _divided(split: Split, section: DataSection, seed: int) -> tuple[Split, Split | None]:
    """What is learnt from, and what is held out: the same images whatever the seed, so that no teacher saw them."""
    held_out, samples = None, section.validation_samples
    if samples is not None:
        if samples >= len(split.labels):
            raise RecipeError(f"data.validation_samples leaves nothing of {len(split.labels)} training images")
        held_out, split = stratified(split, samples, VALIDATION_SEED)
    if section.train_samples is not None:
        split, rest = stratified(split, section.train_samples, seed)
        if section.unlabelled_samples is not None:
            split = _with_unlabelled(split, rest, section.unlabelled_samples)
    return split, held_out


def _with_unlabelled(split: Split, rest: Split, samples: int | Literal["all"]) -> Split:
    """A split, and images of the rest behind it, whose labels are -1."""
    images = rest.images if samples == "all" else rest.images[:samples]
    if samples != "all" and samples > len(images):
        raise RecipeError(f"data.unlabelled_samples: {samples} images cannot be taken of {len(images)} that are left")
    labels = np.full(len(images), -1, dtype=np.int64)
    return Split(np.concatenate([split.images, images]), np.concatenate([split.labels, labels]))
