"""`kdsnn list`: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from kdsnn.cli.common import JsonOption, emit_json, output, percent, table
from kdsnn.errors import UsageError

__all__ = ["Kind", "list_", "register"]

OLDER_MARK = ", older"  # beside an evaluation that no report takes


class Kind(StrEnum):
    """What can be listed."""

    recipes = "recipes"
    datasets = "datasets"
    students = "students"
    teachers = "teachers"
    losses = "losses"
    augmentations = "augmentations"
    encoders = "encoders"
    noises = "noises"
    methods = "methods"
    targets = "targets"
    writers = "writers"
    energy_models = "energy-models"
    figures = "figures"
    hardware = "hardware"
    runs = "runs"
    evaluations = "evaluations"


def _names(kind: Kind) -> list[str]:
    from kdsnn import choices

    chosen = {
        Kind.datasets: choices.DATASETS,
        Kind.figures: choices.FIGURES,
        Kind.students: choices.STUDENTS,
        Kind.teachers: choices.TEACHERS,
        Kind.losses: choices.LOSSES,
        Kind.augmentations: choices.AUGMENTATIONS,
        Kind.encoders: choices.ENCODERS,
        Kind.noises: choices.NOISES,
        Kind.methods: choices.METHODS,
        Kind.targets: choices.TARGETS,
        Kind.writers: choices.WRITERS,
    }
    if kind in chosen:
        return chosen[kind].names()
    if kind is Kind.recipes:
        from kdsnn.recipes.load import recipe_names

        return recipe_names()
    if kind is Kind.energy_models:
        from kdsnn.energy.models import energy_model_names

        return energy_model_names()
    if kind is Kind.hardware:
        from kdsnn.hardware.limits import hardware_names

        return hardware_names()
    from kdsnn.run_folders import run_names

    return run_names()


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = Kind.recipes,
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="For evaluations: of this run; the latest.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List what there is to choose from, one name a line; or a run's evaluations, as a table.

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
    from kdsnn.run_folders import find_run, name_of_run
    from kdsnn.steps.evaluations import OLDER, data_of, is_of_older_version, kept, target_of
    from kdsnn.steps.models import MODEL_FILE, load

    folder = find_run(run)
    found = kept(folder)
    now = load(str(folder)).network.fingerprint() if (folder / MODEL_FILE).is_file() else None
    if json:
        keys = ("target", "samples", "accuracy", "matches_reference", "fingerprint", "identity")
        rows = [
            {
                **{key: e[key] for key in keys},
                "is_of_this_network": e["fingerprint"] == now,
                "is_of_older_version": is_of_older_version(e),
            }
            for e in found
        ]
        emit_json({"run": name_of_run(folder), "evaluations": rows})
        return
    columns = ["target", "images", "of", "accuracy", "network", "this network"]
    cells = [
        [
            target_of(e),
            e["samples"],
            data_of(e),
            percent(e["accuracy"]),
            e["fingerprint"][:12],
            ("yes" if e["fingerprint"] == now else "no") + (OLDER_MARK if is_of_older_version(e) else ""),
        ]
        for e in found
    ]
    table(f"evaluations of {name_of_run(folder)}", columns, cells)
    if any(map(is_of_older_version, found)):
        output().print(f"{OLDER_MARK.strip(', ')}: {OLDER}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("list")(list_)
