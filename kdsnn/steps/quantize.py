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
    """Makes the integer network that every target runs: of a run's student, or of anybody's float NIR graph.

    Args:
        model: a run, or a float `.nir` file; None is the latest run.
        weight_bits: 2 to 8, or to 15 in two synapses a weight; None is what the recipe says, or 8.
        input_bits: of an input message, 1 to 8; None: chosen by the error that it makes, where the recipe says nothing.
        method: one of `kdsnn list methods`; None is what the recipe says, or `spikes`.
        qat_epochs: of a run: fine-tune for so long; None is what the recipe says.
        sensitivity: of a run: whether to measure what quantizing each layer alone costs.
        data: of a file: images to calibrate on and to be tested on (docs/data.md).
        timesteps: of a file: T, for which an image is shown; None is that of data in time, and else 4.
        dt: of a file: seconds in a time step, needed where a neuron leaks.
        input_scale: of a file: what the writer's network saw for a pixel of 1.
        fires_at_threshold: of a file: whether its neurons fire at `v >= threshold`; None: as the writer's do.
        reset: of a file that does not say it: `zero`, `subtract` or `none`.
        writer: of a file: who wrote it, one of `kdsnn list writers`.
        expect: of a file: images and what the writer's own simulator did (docs/quantize.md).
        max_disagreement: share of the predictions in which the integer network may differ from the float network.
        encode: of a file: how still images are shown to it, one of `kdsnn list encoders`; None is `direct`.
        in_time: of a file: whether each time step has a frame of its own; data in time say it themselves.
        data_range: of a file: what becomes 0 and what becomes 255 in the data, where they do not say it.
        sensor: of a file: height and width in pixels, where the data are recordings of events in a folder.
        run: of a file: a folder to make a run instead, with labelled data; it keeps evaluations and can be reported.
        out: of a file: what to write; None is `NAME-intBITS.nir` beside it.

    Raises:
        VerificationError: the float network fires otherwise than expected, or the integer network differs in more.
        KdsnnError: see `quantize_run` and `quantize_file`.
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
            sensitivity=sensitivity,
            max_disagreement=max_disagreement,
        )
    if qat_epochs or sensitivity:
        raise UsageError("a NIR file can be neither fine-tuned nor analysed yet: --qat-epochs, --sensitivity")
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
