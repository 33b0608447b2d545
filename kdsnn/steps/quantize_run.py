"""From a trained student to the integer network that every target runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from kdsnn.data.datasets import Dataset
from kdsnn.data.identity import identify_test
from kdsnn.data.sources.reference import title_of
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.losses.loss import loss_of
from kdsnn.distill.preparation import Preparation
from kdsnn.distill.qat.sensitivity import LayerSensitivity, layer_sensitivity
from kdsnn.distill.qat.training import QatSettings, qat
from kdsnn.distill.student import BESIDE, load_student, watched_by
from kdsnn.distill.teacher import load_teacher
from kdsnn.distill.trainer import CHECKPOINT
from kdsnn.evaluation.agreement import MAX_DISAGREEMENT, ensure_agrees, with_agreement
from kdsnn.evaluation.edges import MODULE_TO_FLOAT
from kdsnn.export.lowering.lower import lower_module
from kdsnn.export.lowering.module_agreement import check_module
from kdsnn.export.lowering.relays import balance
from kdsnn.export.lowering.traced import Order
from kdsnn.export.quantization.quantize import QuantizationReport
from kdsnn.files.records import Measured, read_record
from kdsnn.files.writing import remove
from kdsnn.models.students import Student
from kdsnn.network import Network
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.run_folders import find_run, lock, name_of_run
from kdsnn.steps.calibration import images_to_agree_on, images_to_check
from kdsnn.steps.figures import write_quantized
from kdsnn.steps.images import READ, READING
from kdsnn.steps.models import MODEL_FILE, Model
from kdsnn.steps.post_training import (
    Quantized,
    accuracy_on,
    agreement_on,
    post_training,
    section_with,
)

__all__ = ["fine_tuning_of", "lowered_student", "quantize_run"]


def quantize_run(
    run: str | None,
    *,
    weight_bits: int | None = None,
    input_bits: int | None = None,
    method: str | None = None,
    qat_epochs: int | None = None,
    qat_taught_by: str | None = None,
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
        qat_taught_by: likewise.
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
        section = section_with(
            prepared.recipe.quantize,
            weight_bits=weight_bits,
            input_bits=input_bits,
            method=method,
            qat_epochs=qat_epochs,
            qat_taught_by=qat_taught_by,
        )
        dataset, float_network = prepared.dataset, lowered_student(folder, prepared, student)
        if section.qat.epochs:
            network, report = _fine_tuned(float_network, student, prepared, section, folder)
        else:
            network, report = post_training(float_network, dataset, section)
        float_accuracy = _float_accuracy(folder, student, dataset)
        integer_accuracy = accuracy_on(network, dataset)
        agreed = agreement_on(float_network, network, images_to_agree_on(float_network, dataset, section))
        ensure_agrees(agreed, max_disagreement, float_accuracy - integer_accuracy)
        done = Quantized(
            model=Model(with_agreement(network, agreed), folder / MODEL_FILE, folder),
            report=report,
            agreement=agreed,
            float_accuracy=float_accuracy,
            integer_accuracy=integer_accuracy,
            sensitivity=_sensitivity(float_network, network, report, dataset) if sensitivity else (),
            data=identify_test(dataset),
        )
        write_quantized(done.model.network, done.as_json(), folder)
    return done


def lowered_student(folder: Path, prepared: Preparation, student: Student) -> Network:
    """The float network of the student of a run, compared with it."""
    recipe = prepared.recipe
    reading = recipe.data.model_dump(mode="json", include=READ, exclude_defaults=True)
    said = {READING: json.dumps(reading)} if reading else {}
    lowered = lower_module(
        student.layers,
        input_shape=prepared.dataset.frame_shape,
        timesteps=recipe.student.timesteps,
        labels=prepared.dataset.labels,
        name=recipe.name,
        provenance={
            "recipe": recipe.name,
            "dataset": title_of(recipe.data.dataset),
            "run": name_of_run(folder),
            **said,
        },
        in_time=Order.FOLDED if student.in_time else None,
    )
    network = balance(lowered.network)
    agreed = check_module(student.layers, lowered, network, images_to_check(network, prepared.dataset))
    return replace(network, provenance={**network.provenance, MODULE_TO_FLOAT: str(agreed)})


def fine_tuning_of(prepared: Preparation, student: Student, section: QuantizeSection, run: Path) -> QatSettings:
    """How the student of a run is fine-tuned: as it was trained."""
    recipe = prepared.recipe
    return QatSettings(
        quantize=section,
        distill=recipe.distill,
        seed=recipe.seed,
        augment=recipe.data.augment,
        encode=prepared.dataset.encode,
        surrogate=recipe.student.surrogate,
        slope=recipe.student.slope,
        watched=watched_by(prepared, student),
        beside=run / BESIDE if (run / BESIDE).is_file() else None,
    )


def _fine_tuned(
    network: Network, student: Student, prepared: Preparation, section: QuantizeSection, run: Path
) -> tuple[Network, QuantizationReport]:
    """Fine-tuned from the run's own teacher, in a folder of the run by what decides it: stopped, it goes on there."""
    recipe, settings = prepared.recipe, fine_tuning_of(prepared, student, section, run)
    teacher = load_teacher(run, prepared) if loss_of(recipe.distill).needs_teacher else None
    decides = network.fingerprint() + "".join(m.model_dump_json(exclude_defaults=True) for m in (recipe, section))
    folder = run / "qat" / hashlib.sha256(decides.encode()).hexdigest()[:10]
    with lock(folder):
        made = qat(network, settings, prepared.split, folder, teacher=teacher, held_out=prepared.held_out)
        remove(folder / CHECKPOINT)
    return made


def _sensitivity(
    float_network: Network, network: Network, report: QuantizationReport, dataset: Dataset
) -> tuple[LayerSensitivity, ...]:
    images = dataset.shown(dataset.test.images, network.timesteps)
    return layer_sensitivity(float_network, network, report, images, dataset.test.labels)


def _float_accuracy(run: Path, student: Student, dataset: Dataset) -> float:
    """As the training measured it, unless its test images were others than those that the data set has now."""
    known = read_record(run / "student.json", Measured)
    if known.get("data") == identify_test(dataset).as_json():
        return float(known["accuracy"])
    return accuracy(student, dataset.test)
