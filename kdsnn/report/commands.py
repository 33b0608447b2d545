"""The commands that make a run's results again, in their order."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kdsnn.network import Network
from kdsnn.run_folders import MODULE, RECIPE
from kdsnn.steps.evaluations import unusual_settings
from kdsnn.steps.models import Model

__all__ = ["commands"]


def commands(model: Model, evaluations: Sequence[Mapping[str, Any]], figures: Mapping[str, Any] | None) -> list[str]:
    """What to type, with RUN for the folder of the run, wherever it lies; the recipe is the one that it holds.

    Args:
        model: of a run.
        evaluations: that are of it, those of most images first.
        figures: of its quantization, where they are known.
    """
    if model.run is None:
        return []
    made = [f"kdsnn distill RUN/{RECIPE} --run RUN"] if (model.run / RECIPE).is_file() else []
    if figures is not None and not (model.run / MODULE).is_file():
        made.append(f"kdsnn quantize RUN{_quantization(model.network, figures)}")
    shown = [_shown(evaluation) for evaluation in evaluations]  # energy is of the counts of the first
    made += [f"kdsnn evaluate RUN{each}" for each in shown]
    return [*made, *(f"kdsnn energy RUN{each}" for each in shown[:1]), "kdsnn report RUN"]


def _shown(evaluation: Mapping[str, Any]) -> str:
    """Options: where, on how many images, and settings that are not the usual ones."""
    options = "".join(f" -O {key}={shlex.quote(value)}" for key, value in unusual_settings(evaluation).items())
    return f" --target {evaluation['target']} -n {evaluation['samples']}{options}"


def _quantization(network: Network, figures: Mapping[str, Any]) -> str:
    """Options; where a run was fine-tuned, its recipe says how long, unless the command did."""
    said = {
        "--weight-bits": network.provenance.get("weight_bits"),
        "--input-bits": network.input_bits,
        "--method": figures.get("method"),
    }
    return "".join(f" {option} {value}" for option, value in said.items() if value is not None)
