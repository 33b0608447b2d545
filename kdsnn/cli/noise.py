"""`kdsnn noise`: how accurate teacher, student and integer network stay under noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kdsnn.choices import NOISES, QUICK_TARGET
from kdsnn.cli.common import (
    DeviceOption,
    JsonOption,
    OptionOption,
    SamplesOption,
    emit_json,
    errors,
    make_target,
    output,
    percent,
    progress_bar,
    table,
)

__all__ = ["noise", "register", "show"]


def noise(
    run: Annotated[str | None, typer.Argument(help="Path or name of a quantized run. Left out: the latest.")] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="RUN", help="A run to compare with: the baseline without a teacher, say."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            "-k",
            help=f"Of noise ({', '.join(NOISES)}); may be given several times. Left out: gaussian.",
            autocompletion=NOISES.names,
        ),
    ] = None,
    levels: Annotated[
        str | None, typer.Option("--levels", metavar="L,L,...", help="From 0 to 1. Left out: the kind's usual ones.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="Where integer networks run. Left out: gpu, but spike-drop on reference."),
    ] = None,
    samples: SamplesOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How often each noise is drawn.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A folder, or the file of the curves: .png, .svg or .pdf. The run keeps the figures, whatever it is.",
        ),
    ] = None,
    device: DeviceOption = None,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Measure accuracy under noise on images, lost spikes or flipped bits, and draw the curves (docs/noise.md).

    Integer networks are compared with the reference, spike for spike, as kdsnn evaluate does it.

    Examples:
      kdsnn noise --levels 0.01,0.03,0.05

      kdsnn noise runs/mine --against runs/alone --kind gaussian --kind rot-back-image --samples 200

      kdsnn noise --kind bit-flip --target lava --samples 50 --seeds 1
    """
    from kdsnn.noise.measure import measure
    from kdsnn.noise.plan import check_kinds, open_study
    from kdsnn.report.noise_curves import check_out, write
    from kdsnn.run_folders import find_run

    folder = find_run(run)
    check_out(out)  # a wrong name shall not cost a run
    kinds = kind or ["gaussian"]
    check_kinds(kinds, target)
    study = open_study(
        str(folder),
        against,
        kinds=kinds,
        levels=None if levels is None else _numbers(levels),
        seeds=seeds,
        samples=samples,
        target=make_target(target or QUICK_TARGET, option, device),
    )
    with progress_bar("noise", study.size) as progress:
        data = measure(study, progress=progress).as_json()
    picture = write(data, folder, out)
    if json:
        emit_json(data)
    else:
        show(data)
        errors().print(f"curves: {picture}", markup=False, soft_wrap=True)


def show(data: Mapping[str, Any]) -> None:
    """Prints what was measured: for each kind of noise, accuracy and spread by level."""
    refused = []
    for kind in data["noise"]:
        curves = kind["curves"]
        levels = [point["level"] for point in curves[0]["points"]]
        rows = [[f"{level:g}", *(_cell(curve["points"][i]) for curve in curves)] for i, level in enumerate(levels)]
        table(kind["kind"], ["level", *(curve["network"].replace(", ", "\n") for curve in curves)], rows)
        integer = next(c for c in curves if c["network"].endswith("integer"))
        compared = ", compared with the reference spike for spike" if integer["matches_reference"] else ""
        output().print(
            f"level: {kind['level']}\n{data['samples']} images, draws of the noise: {data['seeds']}\n"
            f"integer networks ran on {integer['evaluator']}{compared}\n",
            markup=False,
        )
        refused += [why for curve in curves for point in curve["points"] for why in point["refused"]]
    if refused:
        errors().print(
            f"target {data['target']!r} refused {len(refused)} of the networks with flipped bits, so that their levels "
            f"have no mean; the first: {refused[0]}",
            markup=False,
            soft_wrap=True,
        )


def _cell(point: Mapping[str, Any]) -> str:
    if point["refused"]:
        return f"{len(point['refused'])} of {len(point['accuracies'])} refused"
    spread = "" if point["spread"] is None else f" ±{100 * point['spread']:.2f}"
    return percent(point["mean"]) + spread


def _numbers(text: str) -> list[float]:
    from kdsnn.errors import UsageError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--levels {text!r} are no numbers", hint="for example: --levels 0.01,0.03,0.05") from None


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(noise)
