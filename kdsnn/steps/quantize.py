"""From a trained student, or from anybody's NIR file, to the integer network that every target runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from kdsnn.choices import METHODS
from kdsnn.data.datasets import Dataset
from kdsnn.data.identity import identify_test
from kdsnn.data.sources.load import load_calibration
from kdsnn.data.sources.reference import title_of
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.losses.loss import loss_of
from kdsnn.distill.preparation import Preparation
from kdsnn.distill.qat.sensitivity import LayerSensitivity, layer_sensitivity
from kdsnn.distill.qat.training import QatSettings, qat
from kdsnn.distill.student import load_student
from kdsnn.distill.teacher import load_teacher
from kdsnn.distill.trainer import CHECKPOINT
from kdsnn.errors import UsageError
from kdsnn.evaluation.agreement import MAX_DISAGREEMENT, ensure_agrees, with_agreement
from kdsnn.evaluation.edges import MODULE_TO_FLOAT
from kdsnn.export.foreign.convert import Foreign
from kdsnn.export.foreign.expectation import check_recorded
from kdsnn.export.lowering.lower import lower_module
from kdsnn.export.lowering.module_agreement import check_module
from kdsnn.export.lowering.relays import balance
from kdsnn.export.nir import is_ours, write_nir
from kdsnn.export.quantization.quantize import QuantizationReport
from kdsnn.models.students import Student
from kdsnn.network import Network
from kdsnn.recipes.schema import DistillSection, QatSection, QuantizeSection
from kdsnn.run_folders import find_run, lock, read_json, remove
from kdsnn.steps.calibration import images_to_agree_on, images_to_check, read_with
from kdsnn.steps.figures import write_quantized
from kdsnn.steps.images import READING
from kdsnn.steps.models import MODEL_FILE, Model, load
from kdsnn.steps.post_training import Quantized, accuracy_on, agreement_on, post_training, quantize_network

__all__ = [
    "foreign_of",
    "open_or_quantize",
    "quantize",
    "quantize_file",
    "quantize_run",
]


def quantize(
    model: str | Path | None = None,
    *,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    method: str | None = None,
    qat_epochs: int | None = None,
    sensitivity: bool = False,
    data: object = None,
    timesteps: int = 4,
    dt: float | None = None,
    input_scale: float = 1 / 255,
    fires_at_threshold: bool | None = None,
    reset: Literal["zero", "subtract", "none"] | None = None,
    writer: str | None = None,
    expect: str | Path | None = None,
    max_disagreement: float = MAX_DISAGREEMENT,
    out: str | Path | None = None,
) -> Quantized:
    """Makes the integer network that every target runs: of a run's student, or of anybody's float NIR graph.

    Args:
        model: a run, or a float `.nir` file; None is the latest run.
        weight_bits: 2 to 8; None is what the recipe says, or 8.
        input_bits: of an input message, 1 to 8; None: chosen by the error that it makes, where the recipe says nothing.
        method: one of `kdsnn list methods`; None is what the recipe says, or `spikes`.
        qat_epochs: of a run: fine-tune for so long; None is what the recipe says.
        sensitivity: of a run: whether to measure what quantizing each layer alone costs.
        data: of a file: images to calibrate on and to be tested on (docs/data.md).
        timesteps: of a file: for which an image is shown.
        dt: of a file: seconds in a time step, needed where a neuron leaks.
        input_scale: of a file: what the writer's network saw for a pixel of 1.
        fires_at_threshold: of a file: whether its neurons fire at `v >= threshold`; None: as the writer's do.
        reset: of a file that does not say it: `zero`, `subtract` or `none`.
        writer: of a file: who wrote it, one of `kdsnn list writers`.
        expect: of a file: images and what the writer's own simulator did (docs/quantize.md).
        max_disagreement: share of the predictions in which the integer network may differ from the float network.
        out: of a file: what to write; None is `NAME-intBITS.nir` beside it.

    Raises:
        VerificationError: the float network fires otherwise than expected, or the integer network differs in more.
        KdsnnError: see `quantize_run` and `quantize_file`.
    """
    if method is not None:
        METHODS.get(method)
    if model is None or not str(model).endswith(".nir"):
        if expect or reset or writer:
            raise UsageError("a run says all of itself: --expect, --reset and --writer are for NIR files of others")
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
        foreign_of(timesteps, dt, input_scale, fires_at_threshold, reset, writer),
        out=None if out is None else Path(out),
        dataset=data,
        section=_changed(
            QuantizeSection(), weight_bits=weight_bits, input_bits=input_bits, method=method, qat_epochs=None
        ),
        expect=None if expect is None else Path(expect),
        max_disagreement=max_disagreement,
    )


def quantize_run(
    run: str | None,
    *,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    method: str | None = None,
    qat_epochs: int | None = None,
    sensitivity: bool = False,
    max_disagreement: float = MAX_DISAGREEMENT,
) -> Quantized:
    """Lowers and quantizes the student of a run, and writes `model.nir` and `quantization.json` into it.

    Args:
        run: path or name of a run; None is the latest.
        weight_bits: instead of what the recipe says.
        input_bits: likewise.
        method: likewise.
        qat_epochs: likewise; 0 leaves out the fine-tuning.
        sensitivity: whether to measure what quantizing each layer alone costs.
        max_disagreement: share of the predictions in which the integer network may differ from the float network.

    Raises:
        InputError: there is no such run, or it has no student.
        VerificationError: the integer network differs in more, and nothing was written.
        LockedError: another process works on it.
        LoweringError, NetworkError: the student cannot be carried.
    """
    folder = find_run(run)
    with lock(folder):  # before the student is read: nobody shall train another one meanwhile
        prepared, student = load_student(folder)
        section = _changed(
            prepared.recipe.quantize,
            weight_bits=weight_bits,
            input_bits=input_bits,
            method=method,
            qat_epochs=qat_epochs,
        )
        dataset, float_network = prepared.dataset, _lowered(folder, prepared, student)
        if section.qat.epochs:
            network, report = _fine_tuned(float_network, prepared, section, folder)
        else:
            network, report = post_training(float_network, dataset, section)
        float_accuracy = _float_accuracy(folder, student, dataset)
        integer_accuracy = accuracy_on(network, dataset.test)
        agreed = agreement_on(float_network, network, images_to_agree_on(float_network, dataset, section))
        ensure_agrees(agreed, max_disagreement, float_accuracy - integer_accuracy)
        done = Quantized(
            model=Model(with_agreement(network, agreed), folder / MODEL_FILE, folder),
            report=report,
            agreement=agreed,
            float_accuracy=float_accuracy,
            integer_accuracy=integer_accuracy,
            sensitivity=_sensitivity(float_network, network, report, dataset) if sensitivity else (),
            notes=_notes(prepared.recipe.distill) if section.qat.epochs else (),
            data=identify_test(dataset),
        )
        write_quantized(done.model.network, done.as_json(), folder)
    return done


def _lowered(folder: Path, prepared: Preparation, student: Student) -> Network:
    recipe = prepared.recipe
    reading = recipe.data.model_dump(mode="json", include={"range", "test_share"}, exclude_none=True)
    said = {READING: json.dumps(reading)} if reading else {}
    lowered = lower_module(
        student.layers,
        input_shape=prepared.dataset.image_shape,
        timesteps=recipe.student.timesteps,
        labels=prepared.dataset.labels,
        name=recipe.name,
        provenance={"recipe": recipe.name, "dataset": title_of(recipe.data.dataset), "run": folder.name, **said},
    )
    network = balance(lowered.network)
    images = images_to_check(network, prepared.dataset.train.images)
    agreed = check_module(student.layers, lowered, network, images)
    return replace(network, provenance={**network.provenance, MODULE_TO_FLOAT: str(agreed)})


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

    Raises:
        VerificationError: the integer network differs in more, and nothing was written.
        UsageError: `out` is the float graph itself.
        InputError: the file is broken, or does not fit the data set.
        LoweringError: it holds what cannot be carried, by node name.
        VerificationError: the float network does not do what was recorded.
    """
    section = section or QuantizeSection()
    out = out or path.with_name(f"{path.stem}-int{section.weight_bits}.nir")
    if out.resolve() == path.resolve():
        raise UsageError(f"{out} is the float graph itself", hint="write the integer network to another file")
    shown = expect if dataset is None else dataset
    data = None if shown is None else load_calibration(shown)
    read = read_with(path, foreign, data)
    checked = None if expect is None else check_recorded(read, expect)
    if checked is not None:
        read = replace(read, provenance={**read.provenance, MODULE_TO_FLOAT: str(checked)})
    made = quantize_network(balance(read), out, data, section, max_disagreement=max_disagreement)
    doubt = read.provenance.get("doubt")
    done = replace(made, checked=checked, notes=(doubt,) if doubt and checked is None else ())
    if keep:
        write_nir(done.model.network, out)
    return done


def foreign_of(
    timesteps: int,
    dt: float | None,
    input_scale: float,
    fires_at_threshold: bool | None,
    reset: Literal["zero", "subtract", "none"] | None,
    writer: str | None,
) -> Foreign:
    """What a file leaves open, as the command line and Python say it."""
    ties: Literal[">", ">="] | None = None
    if fires_at_threshold is not None:
        ties = ">=" if fires_at_threshold else ">"
    return Foreign(timesteps, dt, input_scale, fires_at=ties, reset=reset, writer=writer)


def open_or_quantize(
    model: str | None,
    foreign: Foreign,
    *,
    dataset: object = None,
    expect: Path | None = None,
    keep: bool = True,
    max_disagreement: float = MAX_DISAGREEMENT,
) -> tuple[Model, tuple[str, ...]]:
    """Opens a run, or a NIR file: one that kdsnn wrote as it is, anybody else's float graph by quantizing it first.

    Returns:
        The model, and what is not known of the file.
    """
    if model is not None and model.endswith(".nir") and not is_ours(Path(model)):
        done = quantize_file(
            Path(model), foreign, dataset=dataset, expect=expect, keep=keep, max_disagreement=max_disagreement
        )
        return done.model, done.notes
    if expect is not None:
        raise UsageError("--expect is for float NIR files of others")
    return load(model), ()


def _changed(
    section: QuantizeSection,
    *,
    weight_bits: int | None,
    input_bits: int | None,
    method: str | None,
    qat_epochs: int | None,
) -> QuantizeSection:
    changes: dict[str, Any] = {"weight_bits": weight_bits, "input_bits": input_bits, "method": method}
    if qat_epochs is not None:
        changes["qat"] = QatSection(**{**section.qat.model_dump(), "epochs": qat_epochs})
    return section.model_copy(update={key: value for key, value in changes.items() if value is not None})


def _fine_tuned(
    network: Network, prepared: Preparation, section: QuantizeSection, run: Path
) -> tuple[Network, QuantizationReport]:
    """Fine-tuned from the run's own teacher, in a folder of the run by what decides it: stopped, it goes on there."""
    recipe = prepared.recipe
    settings = QatSettings(
        quantize=section,
        distill=recipe.distill,
        seed=recipe.seed,
        augment=recipe.data.augment,
        surrogate=recipe.student.surrogate,
        slope=recipe.student.slope,
    )
    teacher = load_teacher(run, prepared) if loss_of(recipe.distill).needs_teacher else None
    decides = network.fingerprint() + recipe.model_dump_json() + section.model_dump_json()
    folder = run / "qat" / hashlib.sha256(decides.encode()).hexdigest()[:10]
    with lock(folder):
        made = qat(network, settings, prepared.split, folder, teacher=teacher, held_out=prepared.held_out)
        remove(folder / CHECKPOINT)
    return made


def _notes(section: DistillSection) -> tuple[str, ...]:
    if not loss_of(section).needs_features:
        return ()
    return (f"fine-tuning compares no features: the loss {section.kind!r} was taken as 'response'",)


def _sensitivity(
    float_network: Network, network: Network, report: QuantizationReport, dataset: Dataset
) -> tuple[LayerSensitivity, ...]:
    return layer_sensitivity(float_network, network, report, dataset.test.images, dataset.test.labels)


def _float_accuracy(run: Path, student: Student, dataset: Dataset) -> float:
    """As the training measured it, unless its test images were others than those that the data set has now."""
    known = read_json(run / "student.json")
    if known.get("data") == identify_test(dataset).as_json():
        return float(known["accuracy"])
    return accuracy(student, dataset.test)
