"""What lies in a run and is not in its report, with the reason: results of other networks, or of other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdsnn.steps.evaluations import data_of, target_of
from kdsnn.steps.figures import FIGURES

__all__ = ["Judged", "left_out"]

Judged = Sequence[tuple[dict[str, Any], str | None]]  # a result, and why it is left out; None where it is not


def left_out(
    evaluations: Judged, noise: Judged = (), *, unknown: bool = False, of_other_images: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """A row for each result: `what` it is, `why` it is left out, and for those of targets of what they are.

    Args:
        evaluations: all that the run keeps.
        noise: all measurements under noise that the run keeps.
        unknown: whether the run has no figures of quantization of this network.
        of_other_images: files whose accuracies were measured on other test images than the data set has now.
    """
    rows: list[dict[str, Any]] = []
    if unknown:
        why = (
            "missing, or of another network, so that the accuracies of the float student and of the integer network "
            "are not known of this one: make them with kdsnn quantize"
        )
        rows.append({"what": FIGURES, "why": why})
    why = "its accuracies are of other test images than the data set has now"
    rows += [{"what": name, "why": why} for name in of_other_images]
    rows += [_evaluation(result, why) for result, why in evaluations if why is not None]
    return rows + [_noise(result, why) for result, why in noise if why is not None]


def _evaluation(result: dict[str, Any], why: str) -> dict[str, Any]:
    what = f"evaluation on {target_of(result)}, {result['samples']} images of {data_of(result)}"
    return {"what": what, "why": why, **{key: result[key] for key in ("target", "samples", "fingerprint", "identity")}}


def _noise(result: dict[str, Any], why: str) -> dict[str, Any]:
    kinds = ", ".join(noise["kind"] for noise in result["noise"])
    what = f"noise ({kinds}) on {result['target']}, {result['samples']} images of {result['dataset']}"
    return {"what": what, "why": why, **{key: result[key] for key in ("target", "samples", "networks", "data")}}
