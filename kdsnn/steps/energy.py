"""The energy that a model of the hardware gives for what an evaluation counted."""

from __future__ import annotations

from kdsnn.energy.estimate import EnergyReport, estimate
from kdsnn.energy.models import load_energy_model
from kdsnn.evaluation import Evaluation
from kdsnn.run_folders import read_json
from kdsnn.steps.models import Model

__all__ = ["energy_of"]


def energy_of(model: Model, evaluation: Evaluation, energy_model: str) -> EnergyReport:
    """The energy that an energy model gives for what was counted, beside the teacher's where it is known."""
    teacher = model.run / "teacher.json" if model.run else None
    macs = int(read_json(teacher)["macs"]) if teacher and teacher.is_file() else None
    return estimate(load_energy_model(energy_model), evaluation.counts, teacher_macs=macs)
