"""`kdsnn list`: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from kdsnn.cli.common import JsonOption, emit_json

__all__ = ["Kind", "list_", "register"]


class Kind(StrEnum):
    """What can be listed."""

    recipes = "recipes"
    datasets = "datasets"
    students = "students"
    teachers = "teachers"
    targets = "targets"
    energy_models = "energy-models"
    hardware = "hardware"
    runs = "runs"


def _names(kind: Kind) -> list[str]:
    if kind is Kind.recipes:
        from kdsnn.recipes.schema import recipe_names

        return recipe_names()
    if kind is Kind.datasets:
        from kdsnn.data.datasets import dataset_names

        return dataset_names()
    if kind in (Kind.students, Kind.teachers):
        from kdsnn.models import students, teachers

        return students.student_names() if kind is Kind.students else teachers.teacher_names()
    if kind is Kind.targets:
        from kdsnn.targets.registry import target_names

        return target_names()
    if kind in (Kind.energy_models, Kind.hardware):
        from kdsnn.energy import estimate as energy
        from kdsnn.hardware import limits

        return energy.energy_model_names() if kind is Kind.energy_models else limits.hardware_names()
    from kdsnn.run_folders import run_names

    return run_names()


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = Kind.recipes,
    json: JsonOption = False,
) -> None:
    """List recipes, data sets, models, targets, energy models, hardware or runs, one a line.

    Example: kdsnn list datasets
    """
    names = _names(kind)
    if json:
        emit_json({kind.value: names})
    else:
        typer.echo("\n".join(names))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("list")(list_)
