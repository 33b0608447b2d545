"""`kdsnn compare`: networks and targets side by side, and a gate for pipelines."""

from __future__ import annotations

from typing import Annotated

import typer

from kdsnn.choices import QUICK_TARGET
from kdsnn.cli.common import (
    DatasetOption,
    ImagesOption,
    JsonOption,
    SamplesOption,
    emit_json,
    make_target,
    progress_bar,
    show,
)

__all__ = ["compare", "register"]


def compare(
    models: Annotated[list[str], typer.Argument(metavar="RUN|MODEL.nir...", help="The first is the baseline.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Where to run them (kdsnn targets); may be repeated.")
    ] = None,
    energy_model: Annotated[
        str, typer.Option("--model", help="One of kdsnn list energy-models, or the path of a TOML file.")
    ] = "loihi1",
    dataset: DatasetOption = None,
    images: ImagesOption = None,
    samples: SamplesOption = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of accuracy that may be lost: 0.01 is one point. Exit 4 beyond it."),
    ] = None,
    max_energy_rise: Annotated[
        float | None,
        typer.Option(min=0, help="Share that energy per sample may rise: 0.1 is ten percent. Exit 4 beyond it."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare networks on the same images: accuracy, agreement, SynOps, energy, latency and size, side by side.

    Each is held to the reference. With a limit it is a gate for pipelines: exit code 4 where one is exceeded.

    Examples:
      kdsnn compare runs/before runs/after

      kdsnn compare runs/main runs/new --max-accuracy-drop 0.01 --max-energy-rise 0.1

      kdsnn compare runs/mine -t gpu -t sanafe -n 50 --json
    """
    from kdsnn.steps.compare import compare as compare_models

    found = compare_models(
        *models,
        targets=[make_target(name, None) for name in target or (QUICK_TARGET,)],
        energy_model=energy_model,
        data=images,
        dataset=dataset,
        samples=samples,
        max_accuracy_drop=max_accuracy_drop,
        max_energy_rise=max_energy_rise,
        bar=progress_bar,
    )
    if json:
        emit_json(found.as_json())
    else:
        show(found)
    found.check()


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(compare)
