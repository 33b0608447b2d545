"""The energy that a model of the hardware gives for what was counted, and what a target simulated itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kdsnn.choices import QUICK_TARGET
from kdsnn.display import Block, Displayed, Table
from kdsnn.energy.estimate import EnergyReport, estimate
from kdsnn.energy.models import load_energy_model
from kdsnn.evaluation import Evaluation
from kdsnn.run_folders import read_json
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.evaluations import identity_of
from kdsnn.steps.images import selection_of
from kdsnn.steps.models import Model, ModelLike, load
from kdsnn.steps.targets import target_of
from kdsnn.targets.base import Progress, Target

__all__ = ["Energy", "energy", "energy_of"]

PREFIX, SUFFIX = "energy_", "_j"  # of the notes of a target that simulates energy: joules of all samples, by part


@dataclass(frozen=True)
class Energy(Displayed):
    """An estimate, and the evaluation whose counts it is of.

    Attributes:
        report: joules a sample by part and by layer, with the model's constants.
        evaluation: with what the target simulated itself, if anything, in its notes.
        identity: the target with its settings, and the data.
    """

    report: EnergyReport
    evaluation: Evaluation
    identity: Mapping[str, Any]

    @property
    def total_j_per_sample(self) -> float:
        """Joules a sample, all parts of the model together."""
        return self.report.total_j_per_sample

    def blocks(self) -> tuple[Block, ...]:
        """The estimate, and beside it what the target simulated."""
        return (*self.report.blocks(), *_simulated(self.evaluation))

    def as_json(self) -> dict[str, Any]:
        """The object of `kdsnn energy --json`."""
        return {**self.evaluation.as_json(), "identity": dict(self.identity), "energy": self.report.as_json()}


def energy(
    model: ModelLike = None,
    energy_model: str = "loihi1",
    *,
    target: str | Target = QUICK_TARGET,
    data: object = None,
    dataset: object = None,
    samples: int | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Energy:
    """Counts on a target, checked against the reference, and estimates the energy. A run keeps nothing of it.

    Args:
        model: see `kdsnn.load`.
        energy_model: one of `kdsnn list energy-models`, or the path of a TOML file.
        target: see `kdsnn.evaluate`, as are the rest.
        data: likewise.
        dataset: likewise.
        samples: likewise.
        progress: likewise.
        options: likewise.

    Raises:
        KdsnnError: there is no such model, energy model or target, or the target computed something else.
    """
    load_energy_model(energy_model)  # a wrong name shall not cost a run
    chosen, opened = target_of(target, options), load(model)
    shown = selection_of(opened, data, dataset=dataset, samples=samples)
    result = evaluate_model(replace(opened, run=None), chosen, shown, progress=progress)
    return Energy(energy_of(opened, result, energy_model), result, identity_of(chosen, shown.identity))


def energy_of(model: Model, evaluation: Evaluation, energy_model: str) -> EnergyReport:
    """The energy that an energy model gives for what was counted, beside the teacher's where it is known."""
    teacher = model.run / "teacher.json" if model.run else None
    macs = int(read_json(teacher)["macs"]) if teacher and teacher.is_file() else None
    return estimate(load_energy_model(energy_model), evaluation.counts, teacher_macs=macs)


def _simulated(result: Evaluation) -> tuple[Block, ...]:
    notes = result.notes
    parts = {
        name.removeprefix(PREFIX).removesuffix(SUFFIX): joules / result.samples
        for name, joules in notes.items()
        if name.startswith(PREFIX) and name.endswith(SUFFIX)
    }
    if not parts:
        return ()
    rows = [(name, f"{1e6 * joules:.4f}") for name, joules in {**parts, "total": sum(parts.values())}.items()]
    table = Table(f"simulated by {result.target}", ("part", "uJ a sample"), rows)
    if not {"latency_s", "simulated_s"} <= notes.keys():
        return (table,)
    latency, seconds = (1e6 * notes[name] / result.samples for name in ("latency_s", "simulated_s"))
    return table, f"latency of a sample {latency:.1f} us; one every {seconds:.1f} us in a stream"
