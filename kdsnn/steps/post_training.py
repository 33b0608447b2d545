"""The integer network of a float network, with what that cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from kdsnn.data.datasets import Dataset
from kdsnn.data.identity import DataIdentity, identify_test
from kdsnn.data.sources.load import ImageSet
from kdsnn.display import Block, Displayed, percent
from kdsnn.distill.qat.sensitivity import LayerSensitivity
from kdsnn.errors import UsageError
from kdsnn.evaluation.agreement import MAX_DISAGREEMENT, Agreement, agreement, ensure_agrees, with_agreement
from kdsnn.evaluation.edges import edges_of, in_words
from kdsnn.evaluation.on_targets import chunks, most_images
from kdsnn.export.foreign.expectation import FileAgreement
from kdsnn.export.quantization.quantize import QuantizationReport, quantize
from kdsnn.network import Network
from kdsnn.recipes.schema import QuantizeSection
from kdsnn.steps.calibration import Shown, bits_of, images_to_agree_on, images_to_calibrate_on
from kdsnn.steps.models import Model
from kdsnn.steps.quantization_tables import quantization_tables
from kdsnn.targets.registry import quick_target

__all__ = ["Quantized", "accuracy_on", "agreement_on", "post_training", "quantize_network", "right_on", "section_with"]


@dataclass(frozen=True)
class Quantized(Displayed):
    """What quantizing made, and what it cost.

    Attributes:
        model: the integer network and where it was written.
        report: how it was made.
        agreement: of the integer network with the float network, on images that the scales were not chosen by.
        float_accuracy: of the float student on the whole test split; None for a foreign file.
        integer_accuracy: of the integer network on the same; None without a data set.
        sensitivity: what quantizing each layer alone costs, where it was asked for.
        notes: what was done otherwise than the recipe says, or is not known of a file.
        checked: that the float network of a file fires as recorded, where something was.
        data: the test images of both accuracies; None without a data set.
    """

    model: Model
    report: QuantizationReport
    agreement: Agreement
    float_accuracy: float | None
    integer_accuracy: float | None
    sensitivity: tuple[LayerSensitivity, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    checked: FileAgreement | None = None
    data: DataIdentity | None = None

    def blocks(self) -> tuple[Block, ...]:
        """How each layer was rounded, what that changed, the accuracies, and what is known of the edges."""
        known = {"float": self.float_accuracy, "integer": self.integer_accuracy}
        accuracy = ", ".join(f"{what} {percent(value)}" for what, value in known.items() if value is not None)
        said = f"{self.model.path}\n{accuracy}\n{in_words(edges_of(self.model.network))}"
        return (*quantization_tables(self.report, self.agreement, self.sensitivity), said)

    def as_json(self) -> dict[str, Any]:
        """What stands in `quantization.json`."""
        return {
            "schema": "kdsnn.quantization/1",
            "fingerprint": self.model.network.fingerprint(),
            "float_accuracy": self.float_accuracy,
            "integer_accuracy": self.integer_accuracy,
            "data": None if self.data is None else self.data.as_json(),
            "sensitivity": [asdict(row) for row in self.sensitivity],
            "notes": list(self.notes),
            "agreement": self.agreement.as_json(),
            "expected": None if self.checked is None else self.checked.as_json(),
            **asdict(self.report),
        }


def quantize_network(
    network: Network,
    path: Path,
    data: Dataset | ImageSet | None,
    section: QuantizeSection,
    *,
    float_accuracy: float | None = None,
    max_disagreement: float = MAX_DISAGREEMENT,
) -> Quantized:
    """The integer network of a float network, compared with it and tested; nothing is written.

    Args:
        network: float, with relays.
        path: where the integer network will be.
        data: to calibrate on and to be tested on; None does neither.
        section: how to quantize.
        float_accuracy: of the float network on the whole test split, where it is known.
        max_disagreement: share of the predictions in which the integer network may differ from the float network.

    Raises:
        VerificationError: the integer network differs in more.
    """
    made, report = post_training(network, data, section)
    agreed = agreement_on(network, made, images_to_agree_on(network, data, section))
    tested = data if isinstance(data, Dataset) and len(data.labels) == len(made.labels) else None
    reached = None if tested is None else accuracy_on(made, tested)
    lost = None if reached is None or float_accuracy is None else float_accuracy - reached
    ensure_agrees(agreed, max_disagreement, lost)
    return Quantized(
        Model(with_agreement(made, agreed), path, None),
        report,
        agreed,
        float_accuracy,
        reached,
        data=None if tested is None else identify_test(tested),
    )


def post_training(
    network: Network, data: Dataset | ImageSet | None, section: QuantizeSection
) -> tuple[Network, QuantizationReport]:
    """The integer network of a float network, and how it was made."""
    by_images = section.input_bits == "auto" and data is not None  # not by made-up ones
    return quantize(
        network,
        weight_bits=section.weight_bits,
        input_bits=None if by_images else bits_of(section),
        calibration=images_to_calibrate_on(network, data, section),
        method=section.method,
    )


def agreement_on(float_network: Network, network: Network, shown: Shown) -> Agreement:
    """How two networks agree on images."""
    return agreement(float_network, network, shown.images, shown.labels, shown=shown.what)


def accuracy_on(network: Network, dataset: Dataset) -> float:
    """Of an integer network on the test images, as all targets have it."""
    return float(right_on(network, dataset).mean())


def right_on(network: Network, dataset: Dataset) -> npt.NDArray[np.bool_]:
    """Whether an integer network is right on each test image, as all targets have it."""
    images = dataset.test.images
    program, predictions = quick_target(network).compile(network), []
    for _, chunk in chunks(images, len(images) if network.static else most_images(network)):
        predictions.append(program.run(dataset.shown(chunk, network.timesteps)).predictions)
    right: npt.NDArray[np.bool_] = np.concatenate(predictions) == dataset.test.labels
    return right


def section_with(
    section: QuantizeSection,
    *,
    weight_bits: int | None,
    input_bits: int | None,
    method: str | None,
    qat_epochs: int | None,
    qat_taught_by: str | None = None,
) -> QuantizeSection:
    """A section with what is said instead of it; None leaves what it says.

    Raises:
        UsageError: it cannot be together.
    """
    changes: dict[str, Any] = {"weight_bits": weight_bits, "input_bits": input_bits, "method": method}
    qat = {"epochs": qat_epochs, "taught_by": qat_taught_by}
    changes["qat"] = section.qat.model_dump() | {key: value for key, value in qat.items() if value is not None}
    changed = section.model_dump() | {key: value for key, value in changes.items() if value is not None}
    try:
        made = QuantizeSection.model_validate(changed)
    except ValidationError as error:
        raise UsageError("; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())) from error
    if qat_taught_by is not None and not made.qat.epochs:
        raise UsageError("--qat-taught-by is for fine-tuning", hint="say how long: --qat-epochs 3")
    return made
