"""`kdsnn list`: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from kdsnn.cli.common import JsonOption, emit_json, percent, table
from kdsnn.errors import UsageError

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
    evaluations = "evaluations"


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
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="For evaluations: of this run; the latest.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List recipes, data sets, models, targets, energy models, hardware or runs, one a line; or a run's evaluations.

    Examples:
      kdsnn list datasets

      kdsnn list evaluations runs/mine
    """
    if kind is Kind.evaluations:
        _evaluations(run, json=json)
        return
    if run is not None:
        raise UsageError(f"{kind.value} belong to no run: leave out {run!r}")
    names = _names(kind)
    if json:
        emit_json({kind.value: names})
    else:
        typer.echo("\n".join(names))


def _evaluations(run: str | None, *, json: bool) -> None:
    """All evaluations that a run keeps: of which network, on which target, of which images."""
    from kdsnn.run_folders import find_run
    from kdsnn.steps.evaluations import kept
    from kdsnn.steps.models import MODEL_FILE, open_model

    folder = find_run(run)
    found = kept(folder)
    now = open_model(str(folder)).network.fingerprint() if (folder / MODEL_FILE).is_file() else None
    if json:
        keys = ("target", "samples", "accuracy", "matches_reference", "fingerprint", "identity")
        rows = [{**{key: e[key] for key in keys}, "is_of_this_network": e["fingerprint"] == now} for e in found]
        emit_json({"run": folder.name, "evaluations": rows})
        return
    columns = ["target", "settings", "images", "accuracy", "data", "selection", "compared", "network", "this network"]
    table(f"evaluations of {folder.name}", columns, [_evaluation_row(e, now) for e in found])


def _evaluation_row(evaluation: dict[str, Any], now: str | None) -> list[Any]:
    data = evaluation["identity"]["data"]
    name = " ".join(filter(None, (data["name"], data["split"])))
    settings = evaluation["identity"]["target"]["settings"]
    return [
        evaluation["target"],
        ", ".join(f"{key}={value}" for key, value in settings.items()),
        evaluation["samples"],
        percent(evaluation["accuracy"]),
        name,
        data["selection"],
        "equal" if evaluation["matches_reference"] else "no",
        evaluation["fingerprint"][:12],
        "yes" if evaluation["fingerprint"] == now else "no",
    ]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("list")(list_)
