"""docs/own-ann.md, executed: its files, its commands and its refusal, in a folder of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import blocks, sessions

PAGE = "docs/own-ann.md"
QUOTED = re.compile(r"^(teacher accuracy|student accuracy|float|accuracy) (\d+\.\d+)%", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the page's files, and the weights that its training makes."""
    mine = tmp_path_factory.mktemp("mine")
    for text in blocks(PAGE, "python") + blocks(PAGE, "toml"):
        file = re.match(r"# ([\w.]+)", text)
        assert file, text
        (mine / file[1]).write_text(text)
    call(mine, [sys.executable, "train.py"])
    return mine


def call(folder: Path, command: list[str]) -> tuple[int, str]:
    there = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "KDSNN_RUNS": str(folder / "runs")}
    done = subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def figures(text: str) -> dict[str, float]:
    return {what: float(share) for what, share in QUOTED.findall(text)}


def test_three_commands_from_an_ann_to_a_machine(folder: Path) -> None:
    commands = sessions(PAGE)[0]
    assert [command.split()[1] for command, _ in commands] == ["distill", "quantize", "evaluate"]
    for command, quoted in commands:
        code, said = call(folder, [sys.executable, "-m", *shlex.split(command)])
        assert code == 0, said
        wanted, got = figures(quoted), figures(said)
        assert wanted
        assert wanted.keys() <= got.keys(), said
        for what, share in wanted.items():
            assert got[what] == pytest.approx(share, abs=2.5), what  # points: another machine rounds and sums otherwise
    assert "matches the reference spike for spike" in said


def test_the_refusal_is_the_pages(folder: Path) -> None:
    ((command, quoted),) = sessions(PAGE)[1]
    code, said = call(folder, [sys.executable, "-m", *shlex.split(command)])
    assert code == 3, said
    for line in quoted.splitlines():
        assert line in said


def test_the_python_of_the_page(folder: Path) -> None:
    code, said = call(folder, [sys.executable, "from_python.py"])
    assert code == 0, said
    assert said.count("IF(") == 4
