"""`kdsnn energy`: the energy that a model of the hardware gives for what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdsnn.choices import QUICK_TARGET
from kdsnn.cli.common import (
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
    output,
    progress_bar,
    table,
)

if TYPE_CHECKING:
    from kdsnn.energy.estimate import EnergyReport
    from kdsnn.evaluation import Evaluation

__all__ = ["energy", "register", "show", "show_simulated"]


def energy(
    model: ModelArgument = None,
    energy_model: Annotated[
        str, typer.Option("--model", help="One of kdsnn list energy-models, or the path of a TOML file.")
    ] = "loihi1",
    target: TargetOption = QUICK_TARGET,
    dataset: DatasetOption = None,
    images: ImagesOption = None,
    samples: SamplesOption = None,
    device: DeviceOption = None,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Count on a target, checked against the reference, and estimate the energy by part and layer.

    Examples:
      kdsnn energy --model loihi1

      kdsnn energy --model cmos45 --target lava --samples 50 --json

      kdsnn energy --target sanafe --samples 50    # and what SANA-FE simulates, by part, with latency
    """
    from kdsnn.energy.models import load_energy_model
    from kdsnn.evaluation import evaluate
    from kdsnn.steps.energy import energy_of
    from kdsnn.steps.evaluations import identity_of
    from kdsnn.steps.images import select_images
    from kdsnn.steps.models import open_model

    load_energy_model(energy_model)  # a wrong name shall not cost a run
    chosen = make_target(target, option, device)
    opened = open_model(model)
    shown = select_images(opened, dataset=dataset, images=images, samples=samples)
    with progress_bar(f"{target}", len(shown.images)) as progress:
        result = evaluate(opened.network, chosen, shown.images, shown.labels, progress=progress)
    report = energy_of(opened, result, energy_model)
    if json:
        identity = identity_of(chosen, shown.identity)
        emit_json({**result.as_json(), "identity": identity, "energy": report.as_json()})
    else:
        show(report)
        show_simulated(result)


def show(report: EnergyReport) -> None:
    """Prints an energy estimate."""
    rows = [[name, f"{1e6 * joules:.4f}"] for name, joules in report.parts.items()]
    rows.append(["total", f"{1e6 * report.total_j_per_sample:.4f}"])
    if report.teacher_j_per_sample is not None:
        rows.append(["the teacher's multiply-accumulates", f"{1e6 * report.teacher_j_per_sample:.4f}"])
    table(f"{report.model.title} ({report.model.kind})", ["part", "uJ a sample"], rows)
    output().print("\n".join((*report.model.notes, f"Source: {report.model.source}")), markup=False)


def show_simulated(result: Evaluation) -> None:
    """Prints the energy and time that a target simulated itself, where it did."""
    parts = {
        name.removeprefix("energy_").removesuffix("_j"): joules / result.samples
        for name, joules in result.notes.items()
        if name.startswith("energy_") and name.endswith("_j")
    }
    if not parts:
        return
    rows = [[name, f"{1e6 * joules:.4f}"] for name, joules in {**parts, "total": sum(parts.values())}.items()]
    table(f"simulated by {result.target}", ["part", "uJ a sample"], rows)
    if {"latency_s", "simulated_s"} <= result.notes.keys():
        latency, seconds = (1e6 * result.notes[name] / result.samples for name in ("latency_s", "simulated_s"))
        output().print(f"latency of a sample {latency:.1f} us; one every {seconds:.1f} us in a stream", markup=False)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(energy)
