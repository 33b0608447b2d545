"""The page about answers in time: its commands and its lines of Python are executed."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.pages import blocks

PAGE = "docs/answers-in-time.md"


def test_the_page(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    (commands,) = blocks(PAGE, "sh")
    for line in commands.splitlines():
        done = cli(*shlex.split(line, comments=True)[1:])
        assert done.code == 0, done.err
        assert "answers in time" in done.out
        assert "first spike" in done.out
    (python,) = blocks(PAGE, "python")
    names: dict[str, object] = {}
    exec(python, names)  # noqa: S102
    assert len(names["answers"].accuracies) == names["answers"].steps.predictions.shape[1]
