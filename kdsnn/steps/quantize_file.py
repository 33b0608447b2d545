"""From anybody's float NIR graph to the integer network that every target runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from kdsnn.choices import ENCODERS
from kdsnn.data.datasets import Dataset
from kdsnn.data.encoders import DIRECT
from kdsnn.data.sources.load import is_events, load_calibration
from kdsnn.data.sources.source import Reading
from kdsnn.data.sources.values import PIXELS
from kdsnn.errors import UsageError
from kdsnn.evaluation.agreement import MAX_DISAGREEMENT
from kdsnn.evaluation.edges import MODULE_TO_FLOAT
from kdsnn.export.foreign.convert import Foreign
from kdsnn.export.foreign.expectation import check_recorded
from kdsnn.export.foreign.reader import USUAL_STEPS
from kdsnn.export.lowering.relays import balance
from kdsnn.export.nir import is_ours, write_nir
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.run_folders import lock
from kdsnn.steps.calibration import read_with
from kdsnn.steps.figures import write_quantized
from kdsnn.steps.models import MODEL_FILE, Model, load
from kdsnn.steps.module_runs import claim_for_module, data_of_run, write_module
from kdsnn.steps.post_training import Quantized, quantize_network

__all__ = ["foreign_of", "is_foreign", "open_or_quantize", "quantize_file"]


def quantize_file(
    path: Path,
    foreign: Foreign,
    *,
    out: Path | None = None,
    dataset: object = None,
    section: QuantizeSection | None = None,
    expect: Path | None = None,
    keep: bool = True,
    max_disagreement: float = MAX_DISAGREEMENT,
    encode: str = DIRECT,
    data_range: tuple[float, float] | None = None,
    sensor: tuple[int, int] | None = None,
    run: Path | None = None,
) -> Quantized:
    """Quantizes anybody's float NIR graph, and writes the integer network.

    Args:
        path: of the float graph.
        foreign: what the file leaves open.
        out: of the integer network; None is `NAME-intBITS.nir` beside the graph.
        dataset: to calibrate on and, where it has labels, to be tested on; None takes the recorded images, if any.
        section: how to quantize.
        expect: what the user's own simulator did, and the float network must do: `kdsnn.export.foreign.recording`.
        keep: whether to write it.
        max_disagreement: share of the predictions in which the integer network may differ from the float network.
        encode: how still images of the data set are shown to it, one of `kdsnn.choices.ENCODERS`.
        data_range: what becomes 0 and what becomes 255 in the data set, where it does not say it.
        sensor: height and width in pixels, of recordings of events in a folder.
        run: a folder to make a run instead of a file, which keeps evaluations and can be reported.

    Raises:
        VerificationError: the integer network differs in more, and nothing was written.
        UsageError: `out` is the float graph itself.
        InputError: the file is broken, or does not fit the data set.
        LoweringError: it holds what cannot be carried, by node name.
        VerificationError: the float network does not do what was recorded.
    """
    ENCODERS.get(encode)
    section = section or QuantizeSection()
    if run is not None and out is not None:
        raise UsageError("a run has its network in it: either a file to write, or a run", hint="-o, or --run")
    out = run / MODEL_FILE if run is not None else out or path.with_name(f"{path.stem}-int{section.weight_bits}.nir")
    if out.resolve() == path.resolve():
        raise UsageError(f"{out} is the float graph itself", hint="write the integer network to another file")
    if encode != DIRECT and dataset is None:
        raise UsageError("what is to be encoded are images of a data set", hint="name one: --calibrate")
    if sensor is not None and dataset is None:
        raise UsageError("a sensor is said of recordings that are named", hint="name them: --calibrate")
    shown = expect if dataset is None else dataset
    if foreign.timesteps is None and is_events(dataset):
        foreign = replace(foreign, timesteps=USUAL_STEPS)
    in_time = (foreign.in_time and encode == DIRECT) or is_events(dataset)
    as_recorded = PIXELS if dataset is None and expect is not None else None  # --input-scale says what a pixel of 1 is
    steps = foreign.timesteps if in_time else None
    reading = Reading(data_range or as_recorded, encode=encode, steps=steps, sensor=sensor)
    data = None if shown is None else load_calibration(shown, reading)
    if run is not None:
        data = data_of_run(run, shown, data if isinstance(data, Dataset) else None)
    read = read_with(path, foreign, data, data_range)
    checked = None if expect is None else check_recorded(read, expect)
    if checked is not None:
        read = replace(read, provenance={**read.provenance, MODULE_TO_FLOAT: str(checked)})
    made = quantize_network(balance(read), out, data, section, max_disagreement=max_disagreement)
    doubt = read.provenance.get("doubt")
    done = replace(made, checked=checked, notes=(doubt,) if doubt and checked is None else ())
    if keep and run is None:
        write_nir(done.model.network, out)
    if keep and run is not None and isinstance(data, Dataset):
        done = replace(done, model=replace(done.model, run=run))
        with lock(run):
            claim_for_module(run)
            write_quantized(done.model.network, done.as_json(), run)
            write_module(run, path.stem, shown, data, data_range, sensor)
    return done


def foreign_of(
    timesteps: int | None,
    dt: float | None,
    input_scale: float,
    fires_at_threshold: bool | None,
    reset: Literal["zero", "subtract", "none"] | None,
    writer: str | None,
    *,
    in_time: bool = False,
) -> Foreign:
    """What a file leaves open, as the command line and Python say it."""
    ties: Literal[">", ">="] | None = None
    if fires_at_threshold is not None:
        ties = ">=" if fires_at_threshold else ">"
    return Foreign(timesteps, dt, input_scale, fires_at=ties, reset=reset, writer=writer, in_time=in_time)


def is_foreign(model: str | None) -> bool:
    """Whether a model is a NIR file that kdsnn did not write."""
    return model is not None and model.endswith(".nir") and not is_ours(Path(model))


def open_or_quantize(
    model: str | None,
    foreign: Foreign,
    *,
    dataset: object = None,
    expect: Path | None = None,
    keep: bool = True,
    max_disagreement: float = MAX_DISAGREEMENT,
    encode: str | None = None,
    data_range: tuple[float, float] | None = None,
    sensor: tuple[int, int] | None = None,
) -> tuple[Model, tuple[str, ...]]:
    """Opens a run, or a NIR file: one that kdsnn wrote as it is, anybody else's float graph by quantizing it first.

    Returns:
        The model, and what is not known of the file.
    """
    if model is not None and is_foreign(model):
        done = quantize_file(
            Path(model),
            foreign,
            dataset=dataset,
            expect=expect,
            keep=keep,
            max_disagreement=max_disagreement,
            encode=encode or DIRECT,
            data_range=data_range,
            sensor=sensor,
        )
        return done.model, done.notes
    if expect is not None or sensor is not None:
        raise UsageError("--expect and --sensor are for float NIR files of others")
    return load(model), ()
