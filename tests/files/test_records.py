"""What a run's JSON must hold for those who read it: else one error, which names the file and each problem."""

import json
from pathlib import Path

import pytest

from kdsnn.errors import InputError
from kdsnn.files.records import Measured, read_record
from kdsnn.paper.gaussian import gaussian_accuracy
from kdsnn.steps.teacher import Teacher


@pytest.mark.parametrize("accuracy", [None, True, "0.5", [0.5], {}, -0.1, 1.5, float("nan"), float("inf"), 10**400])
def test_an_accuracy_is_a_share(accuracy: object, tmp_path: Path) -> None:
    (tmp_path / "student.json").write_text(json.dumps({"accuracy": accuracy}))
    with pytest.raises(InputError, match=r"student\.json is not valid\n  - accuracy: "):
        read_record(tmp_path / "student.json", Measured)


def test_what_else_stands_there_is_kept(tmp_path: Path) -> None:
    told = {"accuracy": 1, "seconds": [[2]]}
    (tmp_path / "student.json").write_text(json.dumps(told))
    assert read_record(tmp_path / "student.json", Measured) == told


def test_a_teacher_needs_its_multiplications_too(tmp_path: Path) -> None:
    (tmp_path / "teacher.json").write_text('{"accuracy": 2}')
    with pytest.raises(InputError) as told:
        read_record(tmp_path / "teacher.json", Teacher, hint="do this")
    assert [problem.split(":")[0] for problem in told.value.problems] == ["accuracy", "macs"]
    assert told.value.hint == "do this"


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"0.1": 1}', '{"0.1": {"student": "x"}}', '{"0.1": {"student": 2}}', "3"]
)
def test_what_was_measured_under_noise_is_checked(text: str, tmp_path: Path) -> None:
    (tmp_path / "gaussian.json").write_text(text)
    with pytest.raises(InputError, match=r"gaussian\.json"):
        gaussian_accuracy(tmp_path, 0.1, "student")
