"""`kdsnn distill`: distils the student of a recipe from its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdsnn.cli.common import OverridesOption, RecipeArgument, show

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
    from kdsnn.steps.distill import distill as train

    done = train(recipe, run=run, changes=overrides or (), resume=resume, tensorboard=tensorboard)
    if processes().is_main_process:
        show(done)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(distill)
