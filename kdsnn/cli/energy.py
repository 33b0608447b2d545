"""`kdsnn energy`: the energy that a model of the hardware gives for what was counted."""

from __future__ import annotations

from typing import Annotated

import typer

from kdsnn.choices import QUICK_TARGET
from kdsnn.cli.common import (
    DataRangeOption,
    DatasetOption,
    DeviceOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
    OptionOption,
    SamplesOption,
    TargetOption,
    emit_json,
    make_target,
    progress_bar,
    range_of,
    show,
)

__all__ = ["energy", "register"]


def energy(
    model: ModelArgument = None,
    energy_model: Annotated[
        str, typer.Option("--model", help="One of kdsnn list energy-models, or the path of a TOML file.")
    ] = "loihi1",
    target: TargetOption = QUICK_TARGET,
    dataset: DatasetOption = None,
    images: ImagesOption = None,
    data_range: DataRangeOption = None,
    samples: SamplesOption = None,
    device: DeviceOption = None,
    option: OptionOption = None,
    measured: Annotated[
        bool, typer.Option("--measure", help="Also measure what this machine takes (NVML, RAPL); half a minute.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Count on a target, checked against the reference, and estimate the energy by part and layer.

    Examples:
      kdsnn energy --model loihi1

      kdsnn energy --model cmos45 --target lava --samples 50 --json

      kdsnn energy --target sanafe --samples 50    # and what SANA-FE simulates, by part, with latency

      kdsnn energy --target gpu --measure
    """
    from kdsnn.energy.models import load_energy_model
    from kdsnn.steps.energy import energy as estimate
    from kdsnn.steps.images import select_images
    from kdsnn.steps.models import load

    load_energy_model(energy_model)  # a wrong name shall not cost a run
    chosen = make_target(target, option, device)
    opened = load(model)
    shown = select_images(opened, dataset=dataset, images=images, samples=samples, data_range=range_of(data_range))
    with progress_bar(f"{target}", len(shown.images)) as progress:
        made = estimate(opened, energy_model, target=chosen, data=shown, progress=progress, measured=measured)
    if json:
        emit_json(made.as_json())
    else:
        show(made)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(energy)
