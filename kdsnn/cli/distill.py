"""`kdsnn distill`: distils the student of a recipe from its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdsnn.cli.common import OverridesOption, RecipeArgument, output, percent

__all__ = ["distill", "register"]


def distill(
    recipe: RecipeArgument,
    overrides: OverridesOption = None,
    run: Annotated[Path | None, typer.Option("--run", help="Folder of the run; a new one under runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run was interrupted.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write metrics for TensorBoard, too (kdsnn[tensorboard]).")
    ] = False,
) -> None:
    """Distil the student of a recipe from its teacher, which is trained first where it is not there yet.

    Examples:
      kdsnn distill mnist5k-2conv

      kdsnn distill mnist5k-2conv --set distill.alpha=0.7 --set train.epochs=20

      kdsnn distill mnist5k-2conv --run runs/mine --resume

      accelerate launch --multi_gpu --num_processes 2 -m kdsnn distill mnist-2conv --run runs/two
    """
    from kdsnn.distill.processes import processes
    from kdsnn.distill.student import distill as train_student
    from kdsnn.errors import UsageError
    from kdsnn.recipes.load import load_recipe
    from kdsnn.run_folders import new_run, read_json

    if resume and run is None:
        raise UsageError("--resume needs --run: which run shall go on?")
    loaded = load_recipe(recipe, overrides or ())
    state = processes()
    if run is None and state.num_processes > 1:
        raise UsageError("several processes need --run: which folder shall they share?")
    folder = train_student(loaded, run=run or new_run(loaded.name), resume=resume, tensorboard=tensorboard)
    if state.is_main_process:
        told, result = folder / "teacher.json", read_json(folder / "student.json")
        lines = [str(folder), f"student accuracy {percent(result['accuracy'])}"]
        if told.is_file() and "weights" in (given := read_json(told)):
            lines.insert(1, f"teacher accuracy {percent(given['accuracy'])} ({given['model']} with {given['weights']})")
        output().print("\n".join(lines), markup=False)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(distill)
