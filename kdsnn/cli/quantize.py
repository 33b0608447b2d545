"""`kdsnn quantize`: makes the integer network of a run's student, or of anybody's NIR file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kdsnn.cli.common import (
    DataRangeOption,
    DisagreementOption,
    EncodeOption,
    JsonOption,
    SensorOption,
    emit_json,
    errors,
    range_of,
    sensor_of,
    show,
)
from kdsnn.cli.integer_options import InputBitsOption, MethodOption, WeightBitsOption
from kdsnn.cli.nir_options import (
    CalibrateOption,
    ExpectOption,
    InTimeOption,
    ResetOption,
    ScaleOption,
    StepOption,
    StepsOption,
    TieOption,
    WriterOption,
)

__all__ = ["quantize", "register"]


class TaughtBy(StrEnum):
    """Who teaches in fine-tuning."""

    TEACHER = "teacher"
    STUDENT = "student"
    BOTH = "both"


def quantize(
    model: Annotated[
        str | None, typer.Argument(metavar="[RUN|MODEL.nir]", help="A run, or a float NIR graph; the latest run.")
    ] = None,
    weight_bits: WeightBitsOption = None,
    input_bits: InputBitsOption = None,
    method: MethodOption = None,
    qat_epochs: Annotated[
        int | None, typer.Option("--qat-epochs", min=0, help="Fine-tune a run through the rounding for so long.")
    ] = None,
    qat_taught_by: Annotated[
        TaughtBy | None, typer.Option("--qat-taught-by", help="By whom; both: the teacher, then the float student.")
    ] = None,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="What quantizing each layer alone costs.")] = False,
    calibrate: CalibrateOption = None,
    data_range: DataRangeOption = None,
    sensor: SensorOption = None,
    encode: EncodeOption = None,
    timesteps: StepsOption = None,
    in_time: InTimeOption = False,
    dt: StepOption = None,
    input_scale: ScaleOption = 1 / 255,
    fires_at_threshold: TieOption = None,
    reset: ResetOption = None,
    writer: WriterOption = None,
    expect: ExpectOption = None,
    max_disagreement: DisagreementOption = 0.05,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="NIR: the file to write; NAME-int8.nir.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="NIR: make a run instead, which can be reported.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make the integer network that every target runs: of a run's student, or of a float NIR graph of anybody's.

    Float and integer network then run on the same images; if more predictions differ than --max-disagreement, and more
    than a point of accuracy is lost, nothing is written (exit 4).

    Examples:
      kdsnn quantize --weight-bits 4 --qat-epochs 3

      kdsnn quantize runs/mine --sensitivity

      kdsnn quantize other.nir --calibrate mnist5k --timesteps 8 --dt 1e-4 -o other-int8.nir

      kdsnn quantize other.nir -T 8 --writer snntorch --reset subtract --expect recorded.npz

      kdsnn quantize events.nir -T 50 --in-time --input-bits 1 --writer sinabs --reset subtract

      kdsnn quantize other.nir --calibrate mine.npz --data-range 0:4 --input-scale 0.0157 --run runs/other
    """
    from kdsnn.steps.quantize import quantize as make

    done = make(
        model,
        weight_bits=weight_bits,
        input_bits=input_bits,
        method=method,
        qat_epochs=qat_epochs,
        qat_taught_by=None if qat_taught_by is None else qat_taught_by.value,
        sensitivity=sensitivity,
        data=calibrate,
        timesteps=timesteps,
        dt=dt,
        input_scale=input_scale,
        fires_at_threshold=fires_at_threshold,
        reset=None if reset is None else reset.value,
        writer=writer,
        expect=expect,
        max_disagreement=max_disagreement,
        encode=encode,
        in_time=in_time,
        data_range=range_of(data_range),
        sensor=sensor_of(sensor),
        run=run,
        out=out,
    )
    for note in done.notes:
        errors().print(f"note: {note}", markup=False, soft_wrap=True)
    if json:
        emit_json(done.as_json())
    else:
        show(done)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(quantize)
