"""`kdsnn recipe`: shows and checks recipes."""

from __future__ import annotations

import typer

from kdsnn.cli.common import OverridesOption, RecipeArgument

__all__ = ["register", "show", "validate"]

recipe_app = typer.Typer(help="Show or check a recipe.", no_args_is_help=True)


@recipe_app.command()
def show(recipe: RecipeArgument, overrides: OverridesOption = None) -> None:
    """Print a recipe as TOML, defaults and changes filled in.

    Example: kdsnn recipe show mnist5k-2conv --set train.epochs=20 > mine.toml
    """
    from kdsnn.recipes.load import load_recipe, recipe_toml

    typer.echo(recipe_toml(load_recipe(recipe, overrides or ())), nl=False)


@recipe_app.command()
def validate(recipe: RecipeArgument, overrides: OverridesOption = None) -> None:
    """Check a recipe; all problems are shown at once (exit 3).

    Example: kdsnn recipe validate mine.toml
    """
    from kdsnn.distill.losses.loss import check_alpha
    from kdsnn.recipes.load import load_recipe

    read = load_recipe(recipe, overrides or ())
    check_alpha(read.distill)
    typer.echo(f"{read.name}: ok")


def register(app: typer.Typer) -> None:
    """Adds the group of commands."""
    app.add_typer(recipe_app, name="recipe")
