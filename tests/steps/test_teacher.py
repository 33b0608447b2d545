"""What a run tells of its teacher: wrong files are refused by name, wherever they are read."""

import pytest

from kdsnn.files.writing import write_json
from kdsnn.report.collect import collect
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.targets.reference import ReferenceTarget
from tests.cli.conftest import Cli, cli
from tests.small_run import small_run

__all__ = ["cli"]


def test_the_teachers_operations_are_those_of_the_file(cli: Cli) -> None:
    model = small_run()
    assert (
        cli("energy", model.run, "-n", 2, "--model", "cmos45", "--json").json["energy"]["teacher_j_per_sample"] is None
    )
    write_json(model.path.parent / "teacher.json", {"accuracy": 1, "macs": 1000})
    energy = cli("energy", model.run, "-n", 2, "--model", "cmos45", "--json").json["energy"]
    assert energy["teacher_j_per_sample"] == pytest.approx(1000 * 4.6e-12)


@pytest.mark.parametrize(
    ("told", "absent"),
    [
        ({"accuracy": 0.9}, "macs"),
        ({"accuracy": 0.9, "macs": "many"}, "macs"),
        ({"accuracy": 0.9, "macs": None}, "macs"),
        ({"accuracy": 0.9, "macs": True}, "macs"),
        ({"macs": 1000}, "accuracy"),
        ({}, "accuracy and macs"),
    ],
)
def test_a_file_without_a_number_is_refused(cli: Cli, told: dict[str, object], absent: str) -> None:
    model = small_run()
    evaluate_model(model, ReferenceTarget(), select_images(model, samples=3))
    assert collect(model)["teacher"] is None
    write_json(model.path.parent / "teacher.json", told)
    for command in (("energy", model.run, "-n", 2), ("report", model.run)):
        done = cli(*command)
        assert done.code == 3
        assert "teacher.json is not valid" in done.err
        assert [line.split(":")[0] for line in done.err.splitlines() if line.startswith("  - ")] == [
            f"  - {name}" for name in absent.split(" and ")
        ]
