"""Quantization sees as many training images as the recipe says, after training and before fine-tuning."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.distill.qat import training
from kdsnn.distill.student import distill
from kdsnn.export.quantization.quantize import quantize
from kdsnn.steps import post_training as step
from kdsnn.steps.quantize_run import quantize_run
from tests.distill.small import recipe

ASKED = 37


@pytest.mark.parametrize("epochs", [0, 1])
def test_as_many_images_are_calibrated_on_as_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    base = recipe(epochs=1)
    section = base.quantize.model_copy(update={"calibration_samples": ASKED})
    run = distill(base.model_copy(update={"quantize": section}), run=tmp_path / "run", device="cpu")
    shown: list[np.ndarray] = []

    def seen(*arguments: object, calibration: np.ndarray, **others: object) -> object:
        shown.append(calibration)
        return quantize(*arguments, calibration=calibration, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "quantize", seen)
    monkeypatch.setattr(training, "quantize", seen)
    quantize_run(str(run), qat_epochs=epochs, max_disagreement=1)
    assert [len(images) for images in shown] == [ASKED]
