"""Distils the student of a recipe, from Python as from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdsnn.display import Block, Displayed, percent
from kdsnn.distill import student
from kdsnn.distill.processes import processes
from kdsnn.errors import UsageError
from kdsnn.files.records import Measured, read_record
from kdsnn.recipes.load import load_recipe
from kdsnn.run_folders import new_run
from kdsnn.steps.teacher import teacher_of

__all__ = ["Distilled", "distill"]


@dataclass(frozen=True)
class Distilled(Displayed):
    """A run with a trained student.

    Attributes:
        run: its folder, which `kdsnn.quantize` takes.
        student: figures of the student by name: `accuracy` on the test images (0 to 1), parameters, timesteps, seconds.
        teacher: figures of the teacher; None where the student learns without one.
    """

    run: Path
    student: Mapping[str, Any]
    teacher: Mapping[str, Any] | None

    @property
    def accuracy(self) -> float:
        """Of the float student on the test images."""
        return float(self.student["accuracy"])

    def blocks(self) -> tuple[Block, ...]:
        """The folder and the accuracies."""
        lines = [str(self.run), f"student accuracy {percent(self.accuracy)}"]
        if self.teacher is not None:
            given = (
                f" ({self.teacher.get('model', 'ANN')} with {self.teacher['weights']})"
                if "weights" in self.teacher
                else ""
            )
            lines.insert(1, f"teacher accuracy {percent(self.teacher['accuracy'])}{given}")
        return ("\n".join(lines),)


def distill(
    recipe: str | Path,
    data: object = None,
    *,
    run: str | Path | None = None,
    changes: Sequence[str] = (),
    resume: bool = False,
    tensorboard: bool = False,
) -> Distilled:
    """Distils the student of a recipe from its teacher, which is trained first where it is not there yet.

    Args:
        recipe: one of `kdsnn list recipes`, or the path of a TOML file.
        data: data to take in place of the recipe's: a path, a function, arrays, a torch `Dataset` (docs/data.md).
        run: folder of the run; None makes a new one in the runs folder.
        changes: changes to keys of the recipe, such as `"distill.alpha=0.5"`.
        resume: whether to go on where the run was interrupted; the result equals that of an uninterrupted run.
        tensorboard: whether to write metrics for TensorBoard, too.

    Raises:
        RecipeError: with all problems of the recipe at once.
        KdsnnError: the data, the teacher's weights or the run folder cannot be used.
    """
    if resume and run is None:
        raise UsageError("--resume needs --run: which run shall go on?")
    loaded = load_recipe(recipe, changes)
    if run is None and processes().num_processes > 1:
        raise UsageError("several processes need --run: which folder shall they share?")
    to = new_run(loaded.name) if run is None else Path(run)
    folder = student.distill(loaded, run=to, data=data, resume=resume, tensorboard=tensorboard)
    return Distilled(folder, read_record(folder / "student.json", Measured), teacher_of(folder))
