"""The energy that a model of the hardware gives for what was counted, and what a target simulated itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kdsnn.choices import QUICK_TARGET
from kdsnn.display import Block, Displayed
from kdsnn.energy.estimate import EnergyReport, estimate
from kdsnn.energy.measured import Measured, NotMeasured, measure
from kdsnn.energy.meters import meter_for
from kdsnn.energy.models import load_energy_model
from kdsnn.evaluation import Evaluation
from kdsnn.steps.deployment import deployment
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.evaluations import identity_of
from kdsnn.steps.images import selection_of
from kdsnn.steps.models import Model, ModelLike, load
from kdsnn.steps.simulated_energy import simulated_by
from kdsnn.steps.targets import target_of
from kdsnn.steps.teacher import teacher_of
from kdsnn.targets.base import Images, Progress, Target

__all__ = ["Energy", "energy", "energy_of"]


@dataclass(frozen=True)
class Energy(Displayed):
    """An estimate of the energy, and the evaluation whose counts it was made from.

    Attributes:
        report: the estimate, in joules per sample, by part and by layer, with the constants of the energy model.
        evaluation: the evaluation; its notes hold the energy that the target simulated itself, if it does.
        identity: which target with which settings, and which images, the figures belong to.
        measured: the energy that this machine took while it computed, where that was asked for.
    """

    report: EnergyReport
    evaluation: Evaluation
    identity: Mapping[str, Any]
    measured: Measured | NotMeasured | None = None

    @property
    def total_j_per_sample(self) -> float | None:
        """Joules of a sample that runs alone, static energy in it; None where a term is unknown."""
        return self.report.total_j_per_sample

    def blocks(self) -> tuple[Block, ...]:
        """The estimate, and beside it what the target simulated."""
        simulated = simulated_by(self.evaluation)
        parts = (self.report, simulated, self.measured)
        return tuple(block for part in parts if part is not None for block in part.blocks())

    def as_json(self) -> dict[str, Any]:
        """The object of `kdsnn energy --json`."""
        simulated = simulated_by(self.evaluation)
        return {
            **self.evaluation.as_json(),
            "identity": dict(self.identity),
            "energy": self.report.as_json(),
            "simulated": simulated.as_json() if simulated else None,
            **({} if self.measured is None else {"measured": self.measured.as_json()}),
        }


def energy(
    model: ModelLike = None,
    energy_model: str = "loihi1",
    *,
    target: str | Target = QUICK_TARGET,
    data: object = None,
    dataset: object = None,
    samples: int | None = None,
    progress: Progress | None = None,
    measured: bool = False,
    **options: object,
) -> Energy:
    """Estimates the energy of a network from its counts on a target, which are checked against the reference.

    The run folder keeps nothing of it.

    Args:
        model: see `kdsnn.load`.
        energy_model: one of `kdsnn list energy-models`, or the path of a TOML file (docs/counters.md).
        target: name of a target, or a target.
        data: images to run; see `kdsnn.evaluate`.
        dataset: name of the data set whose test images are run; see `kdsnn.evaluate`.
        samples: number of images at most.
        progress: called with the number of images done.
        measured: whether to also measure the joules that this machine takes meanwhile, which takes half a minute.
        options: options of a target that is given by name.

    Raises:
        KdsnnError: there is no such model, energy model or target, or the target computed something else.
    """
    load_energy_model(energy_model)  # a wrong name shall not cost a run
    chosen, opened = target_of(target, options), load(model)
    shown = selection_of(opened, data, dataset=dataset, samples=samples)
    result = evaluate_model(replace(opened, run=None), chosen, shown, progress=progress)
    report = energy_of(opened, result, energy_model, shown.images)
    found = _measured(opened, chosen, shown.images, result) if measured else None
    return Energy(report, result, identity_of(chosen, shown.identity), found)


def _measured(model: Model, target: Target, images: Images, result: Evaluation) -> Measured | NotMeasured:
    """What this machine takes for a sample while the target computes, and nothing is compared."""
    program = target.compile(model.network)
    return measure(lambda: len(program.run(images).predictions), meter_for(tuple(result.versions.values())))


def energy_of(model: Model, evaluation: Evaluation, energy_model: str, images: Images) -> EnergyReport:
    """The energy that an energy model gives for what was counted, beside the teacher's where it is known.

    Args:
        model: that was evaluated.
        evaluation: of it.
        energy_model: its name, or the path of its file.
        images: that were shown.

    Raises:
        InputError: what the run tells of its teacher is not readable.
    """
    teacher = teacher_of(model.run) if model.run else None
    macs = None if teacher is None else int(teacher["macs"])
    constants = load_energy_model(energy_model)
    placed = None
    if constants.chip is not None:
        spikes = {name: each.sum(axis=0, dtype="int64") for name, each in evaluation.spike_totals.items()}
        placed = deployment(model.network, constants.chip, images, evaluation.counts, spikes)
    return estimate(constants, evaluation.counts, teacher_macs=macs, deployment=placed)
