"""`kdsnn teach`: trains the teacher of a recipe, once."""

from __future__ import annotations

import typer

from kdsnn.cli.common import OverridesOption, RecipeArgument, output, percent

__all__ = ["register", "teach"]


def teach(recipe: RecipeArgument, overrides: OverridesOption = None) -> None:
    """Train the teacher of a recipe. A teacher that is there already is reused.

    Example: kdsnn teach mnist5k-2conv
    """
    from kdsnn.distill.teacher import teach as train_teacher
    from kdsnn.files.records import Measured, read_record
    from kdsnn.recipes.load import load_recipe

    folder = train_teacher(load_recipe(recipe, overrides or ()))
    result = read_record(folder / "result.json", Measured)
    output().print(f"{folder}\nteacher accuracy {percent(result['accuracy'])}", markup=False)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(teach)
