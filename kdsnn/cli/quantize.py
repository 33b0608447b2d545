"""`kdsnn quantize`: lowers and quantizes the student of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdsnn.cli.common import JsonOption, emit_json, output, percent, table

if TYPE_CHECKING:
    from kdsnn.workflow import QuantizedRun

__all__ = ["quantize", "register", "show"]


def quantize(
    run: Annotated[str | None, typer.Argument(help="Path or name of a run. Left out: the latest.")] = None,
    weight_bits: Annotated[int | None, typer.Option(min=2, max=8, help="Instead of the recipe's.")] = None,
    input_bits: Annotated[
        int | None, typer.Option(min=1, max=8, help="Instead of the recipe's; 'auto' there chooses by error.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the integer network of a run's student: model.nir, which every target runs.

    Example: kdsnn quantize --weight-bits 6
    """
    from kdsnn.workflow import quantize_run

    done = quantize_run(run, weight_bits=weight_bits, input_bits=input_bits)
    if json:
        emit_json(done.as_json())
    else:
        show(done)


def show(done: QuantizedRun) -> None:
    """Prints how a run was quantized."""
    report = done.report
    table(
        f"Quantization: int{report.weight_bits} weights, {report.input_bits}-bit input",
        ["layer", "threshold", "largest weight", "weight error", "bias exponent", "limited by"],
        [
            [x.name, x.threshold, x.largest_weight, f"{100 * x.weight_error:.2f}%", x.bias_exponent, x.limited_by]
            for x in report.layers
        ],
    )
    if report.input_trials:
        table(
            "What the width of the input messages costs",
            ["bits", "largest weight", "drive error / threshold"],
            [[t.bits, t.largest_weight, f"{100 * t.drive_error:.3f}%"] for t in report.input_trials],
        )
    output().print(
        f"{done.model.path}\nfloat {percent(done.float_accuracy)}, integer {percent(done.integer_accuracy)}",
        markup=False,
    )


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(quantize)
