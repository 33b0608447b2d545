"""The paper's table 3 beside ours: parameters and operations.

Its FLOPs are multiply-accumulates of convolutions and linear layers plus 4 for each element that a BatchNorm puts out.
Its SynOps are not defined there, and far below spikes times fan-out, which ours are (`synops_dense`, borders counted as
they are): both are shown, and do not compare. `kdsnn evaluate` counts ours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kdsnn.errors import InputError
from kdsnn.models.operations import count_operations, count_parameters
from kdsnn.models.students import build_student
from kdsnn.models.teachers import build_teacher
from kdsnn.paper.runs import finished_runs
from kdsnn.recipes.schema import StudentSection, TeacherSection
from kdsnn.steps.evaluations import of_model
from kdsnn.steps.models import load

__all__ = ["Table3Row", "table3"]

CLASSES = 10
DATASETS = {"MNIST": "mnist", "CIFAR-10": "cifar10"}
MNIST, CIFAR10 = ("MNIST", (1, 28, 28)), ("CIFAR-10", (3, 32, 32))
# data set, teacher, its parameters and FLOPs, student, its parameters and SynOps; millions, as printed
TABLE3 = (
    (MNIST, "resnet18", 11.17, 457.72, "2conv", 7.39, 0.05),
    (CIFAR10, "resnet18", 11.17, 557.88, "vgg11", 9.75, 0.09),
    (CIFAR10, "wrn28-4", 5.85, 849.33, "wrn16-2", 0.69, 0.15),
    (CIFAR10, "pyramidnet18", 1.56, 368.74, "resnet18", 11.17, 0.44),
)


@dataclass(frozen=True)
class Table3Row:
    """One row: the paper's figures and ours, in millions.

    Attributes:
        dataset: of the images, which decide the operations.
        teacher: name of the ANN.
        paper_parameters: of the teacher.
        parameters: of ours.
        paper_flops: the paper's.
        flops: ours, by the paper's convention.
        macs: multiply-accumulates alone.
        student: name of the SNN.
        paper_student_parameters: the paper's.
        student_parameters: of ours.
        paper_synops: the paper's, by a definition that it does not give.
        synops: ours (`synops_dense`), of an image, in the latest run of that student that was evaluated; None: not run.
        agrees: whether every figure that we can compute equals the paper's, as printed.
    """

    dataset: str
    teacher: str
    paper_parameters: float
    parameters: float
    paper_flops: float
    flops: float
    macs: float
    student: str
    paper_student_parameters: float
    student_parameters: float
    paper_synops: float
    synops: float | None
    agrees: bool

    def as_json(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


def table3() -> list[Table3Row]:
    """All rows, computed now by building each model."""
    rows = []
    for (dataset, shape), teacher, parameters, flops, student, student_parameters, synops in TABLE3:
        ann = build_teacher(TeacherSection(model=teacher), shape, CLASSES)
        snn = build_student(StudentSection(model=student), shape, CLASSES)
        operations = count_operations(ann, shape)
        ours = {
            "parameters": _millions(count_parameters(ann)),
            "flops": _millions(operations.paper_flops),
            "student_parameters": _millions(count_parameters(snn)),
        }
        rows.append(
            Table3Row(
                dataset=dataset,
                teacher=teacher,
                paper_parameters=parameters,
                paper_flops=flops,
                macs=_millions(operations.macs),
                student=student,
                paper_student_parameters=student_parameters,
                paper_synops=synops,
                synops=_synops(DATASETS[dataset], student),
                agrees=ours == {"parameters": parameters, "flops": flops, "student_parameters": student_parameters},
                **ours,
            )
        )
    return rows


def _synops(dataset: str, student: str) -> float | None:
    """Millions for a test image, as counted by `kdsnn evaluate` in the latest run of a student of full width."""
    for folder, recipe in finished_runs():
        if recipe.data.dataset != dataset or recipe.student != StudentSection(model=student):
            continue
        for evaluation in _evaluations(folder):
            return _millions(round(evaluation["counts"]["synops_dense"] / evaluation["samples"]))
    return None


def _evaluations(run: Path) -> list[dict[str, Any]]:
    try:
        return of_model(load(str(run)))
    except InputError:  # of a network or a data set that is not there: whoever runs it is told why
        return []


def _millions(count: int) -> float:
    return round(count / 1e6, 2)
