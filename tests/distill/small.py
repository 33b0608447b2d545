"""A data set and a recipe that train in a fraction of a second, for the tests of training."""

from pathlib import Path

import numpy as np

from kdsnn.data.datasets import Dataset, Split
from kdsnn.recipes.schema import DataSection, DistillSection, Recipe, StudentSection, TeacherSection, TrainSection

NAME = "small"


def small(_name: str, _root: Path) -> Dataset:
    """Two classes of 8 x 8 images, bright above or bright below, with noise."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels = np.arange(count, dtype=np.int64) % 2
        images = rng.integers(0, 100, (count, 1, 8, 8), dtype=np.uint8)
        for number, label in enumerate(labels):
            images[number, 0, 4 * label : 4 * label + 4] += 120
        return Split(images, labels)

    return Dataset(NAME, split(50), split(20), ("above", "below"))


def recipe(**train: object) -> Recipe:
    """Three epochs of four batches, the last of them short."""
    return Recipe(
        name="small",
        seed=3,
        data=DataSection(dataset=NAME, augment="affine"),
        teacher=TeacherSection(width=0.125, epochs=2, batch_size=25),
        student=StudentSection(channels=(4, 4), hidden=8, timesteps=2),
        distill=DistillSection(alpha=0.5),
        train=TrainSection.model_validate({"epochs": 3, "batch_size": 16, "lr": 0.01, **train}),
    )
