"""`kdsnn quantize`: makes the integer network of a run's student, or of anybody's NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdsnn.choices import METHODS
from kdsnn.cli.common import DisagreementOption, JsonOption, emit_json, errors, output, percent, table
from kdsnn.cli.nir_options import (
    CalibrateOption,
    ExpectOption,
    ResetOption,
    ScaleOption,
    StepOption,
    StepsOption,
    TieOption,
    WriterOption,
    foreign_of,
)

if TYPE_CHECKING:
    from kdsnn.steps.post_training import Quantized

__all__ = ["quantize", "register", "show"]


def quantize(
    model: Annotated[
        str | None, typer.Argument(metavar="[RUN|MODEL.nir]", help="A run, or a float NIR graph; the latest run.")
    ] = None,
    weight_bits: Annotated[int | None, typer.Option(min=2, max=8, help="Instead of the recipe's.")] = None,
    input_bits: Annotated[
        int | None, typer.Option(min=1, max=8, help="Left out: chosen by the error it makes.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"How scales are chosen ({', '.join(METHODS)}); spikes, if the recipe says no other.",
            autocompletion=METHODS.names,
        ),
    ] = None,
    qat_epochs: Annotated[
        int | None, typer.Option("--qat-epochs", min=0, help="Fine-tune a run through the rounding for so long.")
    ] = None,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="What quantizing each layer alone costs.")] = False,
    calibrate: CalibrateOption = None,
    timesteps: StepsOption = 4,
    dt: StepOption = None,
    input_scale: ScaleOption = 1 / 255,
    fires_at_threshold: TieOption = None,
    reset: ResetOption = None,
    writer: WriterOption = None,
    expect: ExpectOption = None,
    max_disagreement: DisagreementOption = 0.05,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="NIR: the file to write; NAME-int8.nir.")] = None,
    json: JsonOption = False,
) -> None:
    """Make the integer network that every target runs: of a run's student, or of a float NIR graph of anybody's.

    Float and integer network then run on the same images; if more predictions differ than --max-disagreement, and more
    than a point of accuracy is lost, nothing is written (exit 4).

    Examples:
      kdsnn quantize --weight-bits 4 --qat-epochs 3

      kdsnn quantize runs/mine --sensitivity

      kdsnn quantize other.nir --calibrate mnist5k --timesteps 8 --dt 1e-4 -o other-int8.nir

      kdsnn quantize other.nir -T 8 --writer snntorch --reset zero --expect recorded.npz
    """
    from kdsnn.errors import UsageError
    from kdsnn.recipes.schema import QuantizeSection
    from kdsnn.steps.quantize import quantize_file, quantize_run

    if method is not None:
        METHODS.get(method)
    if model is not None and model.endswith(".nir"):
        if qat_epochs or sensitivity:
            raise UsageError("a NIR file can be neither fine-tuned nor analysed yet: --qat-epochs, --sensitivity")
        section = QuantizeSection(
            weight_bits=weight_bits or 8,
            input_bits=input_bits or "auto",
            method=method or "spikes",
        )
        foreign = foreign_of(timesteps, dt, input_scale, fires_at_threshold, reset, writer)
        done = quantize_file(
            Path(model),
            foreign,
            out=out,
            dataset=calibrate,
            section=section,
            expect=expect,
            max_disagreement=max_disagreement,
        )
    else:
        if expect or reset or writer:
            raise UsageError("a run says all of itself: --expect, --reset and --writer are for NIR files of others")
        done = quantize_run(
            model,
            weight_bits=weight_bits,
            input_bits=input_bits,
            method=method,
            qat_epochs=qat_epochs,
            sensitivity=sensitivity,
            max_disagreement=max_disagreement,
        )
    if json:
        emit_json(done.as_json())
    else:
        show(done)


def show(done: Quantized) -> None:
    """Prints how a network was quantized."""
    from kdsnn.evaluation.edges import MODULE_TO_FLOAT, edges_of
    from kdsnn.network import NEVER

    report = done.report
    table(
        f"Quantization: int{report.weight_bits} weights ({report.method}), {report.input_bits}-bit input",
        [
            "layer",
            "threshold",
            "largest\nweight",
            "clipped",
            "weight\nerror",
            "bias\nerror",
            "decay\nerror",
            "limited by",
        ],
        [
            [
                *(x.name, None if x.threshold == NEVER else x.threshold, x.largest_weight, percent(x.clipped)),
                *(
                    percent(x.weight_error),
                    percent(x.bias_error),
                    percent(x.decay_error),
                    x.limited_by + (", clips" if x.clips else ""),
                ),
            ]
            for x in report.layers
        ],
    )
    if report.input_trials:
        table(
            "What the width of the input messages costs",
            ["bits", "largest weight", "drive error / threshold"],
            [[t.bits, t.largest_weight, f"{100 * t.drive_error:.3f}%"] for t in report.input_trials],
        )
    table(
        f"The integer network beside the float network: {done.agreement}",
        [
            "layer",
            "firing rate,\nfloat",
            "firing\nrate",
            "neuron-steps\ndiffering",
            "weights\nnow 0",
            "channels\nsilenced",
        ],
        [
            [
                *(x.name, percent(x.float_rate), percent(x.rate), percent(x.differing), percent(x.zeroed)),
                x.dead_channels,
            ]
            for x in done.agreement.layers
        ],
    )
    if done.sensitivity:
        table(
            "Only this layer quantized",
            ["layer", "accuracy", "firing rate, float", "firing rate"],
            [[x.name, percent(x.accuracy), percent(x.float_rate), percent(x.rate)] for x in done.sensitivity],
        )
    known = {"float": done.float_accuracy, "integer": done.integer_accuracy}
    accuracy = ", ".join(f"{what} {percent(value)}" for what, value in known.items() if value is not None)
    for note in done.notes:
        errors().print(f"note: {note}", markup=False, soft_wrap=True)
    of_file = done.model.run is None and done.model.network.provenance.get("source") == "nir"
    file = f"file → float: {edges_of(done.model.network)[MODULE_TO_FLOAT]} · " if of_file else ""
    said = f"{file}float → integer: {done.agreement}"
    output().print(f"{done.model.path}\n{accuracy}\n{said}", markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(quantize)
