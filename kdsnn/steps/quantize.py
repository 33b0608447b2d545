"""From a trained student, or from anybody's NIR file, to the integer network that every target runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from kdsnn.choices import METHODS
from kdsnn.data.encoders import DIRECT
from kdsnn.errors import UsageError
from kdsnn.evaluation.agreement import MAX_DISAGREEMENT
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.steps.post_training import Quantized, section_with
from kdsnn.steps.quantize_file import foreign_of, quantize_file
from kdsnn.steps.quantize_run import quantize_run

__all__ = ["quantize"]


def quantize(
    model: str | Path | None = None,
    *,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    method: str | None = None,
    qat_epochs: int | None = None,
    qat_taught_by: Literal["teacher", "student", "both"] | None = None,
    sensitivity: bool = False,
    data: object = None,
    timesteps: int | None = None,
    dt: float | None = None,
    input_scale: float = 1 / 255,
    fires_at_threshold: bool | None = None,
    reset: Literal["zero", "subtract", "none"] | None = None,
    writer: str | None = None,
    expect: str | Path | None = None,
    max_disagreement: float = MAX_DISAGREEMENT,
    encode: str | None = None,
    in_time: bool = False,
    data_range: tuple[float, float] | None = None,
    sensor: tuple[int, int] | None = None,
    run: str | Path | None = None,
    out: str | Path | None = None,
) -> Quantized:
    """Makes the integer network that every target runs, from a run's student or from a float NIR file.

    Args:
        model: a run, or a float `.nir` file; None is the latest run.
        weight_bits: width of the weights, 2 to 8, or to 15 with two synapses a weight; None takes the recipe's, or 8.
        input_bits: width of an input message, 1 to 8; None takes the recipe's, or the one of least error.
        method: how scales are chosen, one of `kdsnn list methods`; None takes the recipe's, or `spikes`.
        qat_epochs: for a run: epochs of fine-tuning through the rounding; None takes the recipe's.
        qat_taught_by: for a run: who teaches then: its teacher, its float student, or one after the other; likewise.
        sensitivity: for a run: whether to measure what quantizing each layer alone costs.
        data: for a file: images to calibrate on and to be tested on (docs/data.md).
        timesteps: for a file: T, for which an image is shown; None is that of data in time, and else 4.
        dt: for a file: seconds in a time step, needed where a neuron leaks.
        input_scale: for a file: what the writer's network saw for a pixel of 1.
        fires_at_threshold: for a file: whether its neurons fire at `v >= threshold`; None: as the writer's do.
        reset: for a file that does not say it: `zero`, `subtract` or `none`.
        writer: for a file: who wrote it, one of `kdsnn list writers`.
        expect: for a file: path of a recording, images and the spikes of your own simulator (docs/quantize.md).
        max_disagreement: share of the predictions in which the integer network may differ from the float network.
        encode: for a file: how still images are shown to it, one of `kdsnn list encoders`; None is `direct`.
        in_time: for a file: whether each time step has a frame of its own; data in time say it themselves.
        data_range: for a file: the values in the data that become pixels of 0 and 255, where the data do not say it.
        sensor: for a file: height and width in pixels, where the data are recordings of events in a folder.
        run: for a file: a folder to make a run instead, with labelled data; it keeps evaluations and can be reported.
        out: for a file: path of the file to write; None is `NAME-intBITS.nir` beside it.

    Raises:
        VerificationError: the float network does not fire as the recording in `expect` says, or more predictions of the
            integer network differ than `max_disagreement` allows; nothing is written.
        KdsnnError: the run, the file or the data cannot be used.
    """
    if method is not None:
        METHODS.get(method)
    if model is None or not str(model).endswith(".nir"):
        if expect or reset or writer or encode or in_time or data_range or sensor or run:
            raise UsageError(
                "a run says all of itself: --expect, --reset, --writer, --encode, --in-time, --data-range, --sensor and"
                " --run are for NIR files of others"
            )
        return quantize_run(
            None if model is None else str(model),
            weight_bits=weight_bits,
            input_bits=input_bits,
            method=method,
            qat_epochs=qat_epochs,
            qat_taught_by=qat_taught_by,
            sensitivity=sensitivity,
            max_disagreement=max_disagreement,
        )
    if qat_epochs or qat_taught_by or sensitivity:
        raise UsageError(
            "a NIR file can be neither fine-tuned nor analysed yet: --qat-epochs, --qat-taught-by, --sensitivity"
        )
    return quantize_file(
        Path(model),
        foreign_of(timesteps, dt, input_scale, fires_at_threshold, reset, writer, in_time=in_time),
        out=None if out is None else Path(out),
        dataset=data,
        section=section_with(
            QuantizeSection(), weight_bits=weight_bits, input_bits=input_bits, method=method, qat_epochs=None
        ),
        expect=None if expect is None else Path(expect),
        max_disagreement=max_disagreement,
        encode=encode or DIRECT,
        data_range=data_range,
        sensor=sensor,
        run=None if run is None else Path(run),
    )
