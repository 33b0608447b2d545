"""Accuracies with their intervals, and which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.steps.evaluations import target_of

__all__ = ["accuracies", "confusion", "interval"]

CONFIDENCE = 0.95


def accuracies(
    teacher: Mapping[str, Any] | None,
    quantization: Mapping[str, Any] | None,
    evaluations: Sequence[Mapping[str, Any]],
    *,
    whole: int,
) -> list[dict[str, Any]]:
    """What is known, each with the number of test images that it was measured on, and its 95 % interval.

    Args:
        teacher: what is kept of the teacher.
        quantization: what is kept of the quantization.
        evaluations: of the network on targets.
        whole: number of test images, on which the first two were measured.
    """
    rows: list[dict[str, Any]] = []
    if teacher is not None:
        rows.append(_row(f"teacher ({teacher.get('model', 'ANN')}, float)", teacher["accuracy"], whole))
    if quantization is not None:
        student = "module" if "module_agreement" in quantization else "student"
        for what, key in ((f"{student} (SNN, float)", "float_accuracy"), ("integer network", "integer_accuracy")):
            rows.append(_row(what, quantization.get(key), whole))
    return rows + [_row(f"on {target_of(e)}", e["accuracy"], e["samples"]) for e in evaluations]


def interval(share: float, samples: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many samples (J. Am. Stat. Assoc. 22, 1927, 209-212)."""
    z2 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    successes = round(share * samples)
    centre = successes + z2 / 2
    half = math.sqrt(z2 * (successes * (samples - successes) / samples + z2 / 4))
    return max(0.0, (centre - half) / (samples + z2)), min(1.0, (centre + half) / (samples + z2))


def confusion(
    evaluation: Mapping[str, Any], labels: npt.NDArray[np.int64] | None, classes: int
) -> list[list[int]] | None:
    """How many images of each class (rows) were taken for each (columns); None without labels."""
    if labels is None or not _are_of(evaluation["predictions"], labels, classes):
        return None
    counted = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counted, (labels, np.array(evaluation["predictions"])), 1)
    return [[int(n) for n in row] for row in counted]


def _are_of(predictions: Sequence[int], labels: npt.NDArray[np.int64], classes: int) -> bool:
    return len(labels) == len(predictions) and max(predictions, default=0) < classes


def _row(what: str, accuracy: float | None, samples: int) -> dict[str, Any]:
    low, high = (None, None) if accuracy is None else interval(accuracy, samples)
    return {"what": what, "accuracy": accuracy, "samples": samples, "low": low, "high": high}
