"""The extra for TensorBoard: a missing one is told before anything is trained; what it is given."""

import sys
import types
from pathlib import Path
from typing import ClassVar

import pytest

from kdsnn.distill.student import distill
from kdsnn.distill.teacher import teacher_folder
from kdsnn.distill.tensorboard import epoch_log
from kdsnn.errors import MissingExtraError
from tests.cli.conftest import Cli, cli
from tests.distill.small import recipe

__all__ = ["cli"]


class Writer:
    """Stands in for TensorBoard's."""

    made: ClassVar[list["Writer"]] = []

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step, self.closed = folder, purge_step, False
        self.scalars: list[tuple[str, float, int]] = []
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_missing_it_is_exit_6_with_the_way_to_install_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = cli("distill", "digits-2conv", "--run", tmp_path / "run", "--tensorboard")
    assert done.code == 6
    assert "pip install 'kdsnn[tensorboard]'" in done.err
    assert not (tmp_path / "run").exists()
    with pytest.raises(MissingExtraError):
        distill(recipe(), run=tmp_path / "run", device="cpu", tensorboard=True)
    assert not teacher_folder(recipe()).exists()


def test_each_epoch_of_teacher_and_student_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "made", [])
    run = distill(recipe(), run=tmp_path / "run", device="cpu", tensorboard=True)
    teacher, student = Writer.made
    assert teacher.folder == str(teacher_folder(recipe()) / "tensorboard")
    assert student.folder == str(run / "tensorboard")
    assert student.purge_step == 0
    assert [step for name, _, step in student.scalars if name == "loss"] == [0, 1, 2]
    assert {name for name, _, _ in student.scalars} == {"loss", "accuracy", "lr", "seconds"}
    assert teacher.closed
    assert student.closed


def test_not_wanted_it_is_not_even_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with epoch_log(tmp_path, wanted=False) as log:
        assert log is None


def test_the_real_one_writes_a_file(tmp_path: Path) -> None:
    run = distill(recipe(), run=tmp_path / "run", device="cpu", tensorboard=True)
    assert list((run / "tensorboard").glob("events.*"))
