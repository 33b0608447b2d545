"""What a recipe trains on, made once: the data set, what is learnt from, and what is held out."""

from __future__ import annotations

from dataclasses import dataclass

from kdsnn.data.datasets import Dataset, Split, load_dataset, stratified
from kdsnn.errors import RecipeError
from kdsnn.recipes.schema import DataSection, Recipe

__all__ = ["Preparation", "for_teacher", "of_teacher", "prepare"]

VALIDATION_SEED = 0


@dataclass(frozen=True, eq=False)
class Preparation:
    """A recipe with its data.

    Attributes:
        recipe: what is trained, and how.
        dataset: whole.
        split: the training images that are learnt from.
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


def prepare(recipe: Recipe) -> Preparation:
    """Loads the data of a recipe.

    Raises:
        RecipeError: validation leaves nothing to learn from.
        InputError: the data set's files are missing or broken, or it has fewer images than are asked for.
    """
    return _prepared(recipe, load_dataset(recipe.data.dataset))


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
            "data": data.model_copy(update={"train_samples": None if samples == "all" else samples}),
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
        split = stratified(split, section.train_samples, seed)[0]
    return split, held_out
