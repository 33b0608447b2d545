"""Evaluates a network on a target, and keeps what came out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdsnn.evaluation import Evaluation, evaluate
from kdsnn.jobs.local_processes import Pool
from kdsnn.run_folders import write_json
from kdsnn.steps.models import Model
from kdsnn.targets.base import Progress, Target

__all__ = ["evaluate_model"]


def evaluate_model(
    model: Model,
    target: Target,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Evaluates a model on a target, compared with the reference; a run keeps it as `evaluation-TARGET.json`."""
    result = evaluate(model.network, target, images, labels, time_limit_s=time_limit_s, progress=progress, pool=pool)
    if model.run is not None:
        write_json(model.run / f"evaluation-{target.name}.json", result.as_json())
    return result
