"""Accuracy of a run's teacher and student on test images with Gaussian noise, for table 2."""

from __future__ import annotations

from pathlib import Path

from kdsnn.files.records import Share, read_record
from kdsnn.files.writing import write_json

__all__ = ["gaussian_accuracy", "measure_gaussian"]

FILE = "gaussian.json"
SEED = 0  # of the noise: every student sees the same


def measure_gaussian(run: Path, sigma: float) -> None:
    """Measures student and teacher of a run under noise, and keeps both in the run. What is there stays.

    Args:
        run: a finished run.
        sigma: of the noise, for pixels from 0 to 1.
    """
    from kdsnn.data.datasets import Split
    from kdsnn.data.image_noise import gaussian
    from kdsnn.distill.accuracy import accuracy
    from kdsnn.distill.losses.loss import loss_of
    from kdsnn.distill.student import load_student
    from kdsnn.distill.teacher import load_teacher

    if gaussian_accuracy(run, sigma, "student") is not None:
        return
    prepared, student = load_student(run)
    recipe, test = prepared.recipe, prepared.dataset.test
    noisy = Split(gaussian(test.images, sigma, SEED), test.labels)
    found = {"student": accuracy(student, noisy)}
    if loss_of(recipe.distill).needs_teacher:
        found["teacher"] = accuracy(load_teacher(run, prepared), noisy)
    write_json(run / FILE, {**_known(run), str(sigma): found})


def gaussian_accuracy(run: Path, sigma: float, who: str) -> float | None:
    """What was measured of the `student` or the `teacher` of a run; None where nothing was."""
    value = _known(run).get(str(sigma), {}).get(who)
    return None if value is None else float(value)


def _known(run: Path) -> dict[str, dict[str, float]]:
    path = run / FILE
    return read_record(path, dict[str, dict[str, Share]]) if path.is_file() else {}
