"""The commands that make a run's results again, in their order."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from kdsnn.errors import KdsnnError
from kdsnn.network import Network
from kdsnn.run_folders import MODULE, RECIPE
from kdsnn.steps.evaluations import of_model
from kdsnn.steps.figures import figures_of
from kdsnn.steps.models import Model
from kdsnn.targets.registry import load_target

__all__ = ["commands"]


def commands(model: Model) -> list[str]:
    """What to type, with RUN for the folder of the run, wherever it lies; the recipe is the one that it holds.

    Args:
        model: of a run.
    """
    if model.run is None:
        return []
    made = [f"kdsnn distill RUN/{RECIPE} --run RUN"] if (model.run / RECIPE).is_file() else []
    figures = figures_of(model.run, model.network)
    if figures is not None and not (model.run / MODULE).is_file():
        made.append(f"kdsnn quantize RUN{_quantization(model.network, figures)}")
    shown = [_shown(evaluation) for evaluation in of_model(model)]  # energy is of the counts of the first
    made += [f"kdsnn evaluate RUN{each}" for each in shown]
    return [*made, *(f"kdsnn energy RUN{each}" for each in shown[:1]), "kdsnn report RUN"]


def _shown(evaluation: Mapping[str, Any]) -> str:
    """Options: where, on how many images, and settings that are not the usual ones."""
    options = "".join(f" -O {key}={shlex.quote(value)}" for key, value in _unusual(evaluation).items())
    return f" --target {evaluation['target']} -n {evaluation['samples']}{options}"


def _quantization(network: Network, figures: Mapping[str, Any]) -> str:
    """Options; where a run was fine-tuned, its recipe says how long, unless the command did."""
    said = {
        "--weight-bits": network.provenance.get("weight_bits"),
        "--input-bits": network.input_bits,
        "--method": figures.get("method"),
    }
    return "".join(f" {option} {value}" for option, value in said.items() if value is not None)


def _unusual(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The settings of an evaluation's target that are not the usual ones."""
    settings: dict[str, str] = evaluation["identity"]["target"]["settings"]
    try:
        usual = load_target(evaluation["target"], {}).settings
    except KdsnnError:  # of a package that is not installed here
        return settings
    return {key: value for key, value in settings.items() if usual.get(key) != value}
