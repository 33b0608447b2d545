"""A real run, trained in seconds on the digits data set, that the tests of the commands share."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kdsnn.cli.main import main


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process, and gives its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["kdsnn", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = 0 if stop.code is None else int(stop.code)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the digits recipe, quantized."""
    from kdsnn.distill.student import distill
    from kdsnn.recipes.load import load_recipe
    from kdsnn.steps.quantize_run import quantize_run

    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDSNN_RUNS", str(root))
        run = distill(load_recipe("digits-2conv"), run=root / "digits")
        quantize_run(str(run), max_disagreement=1)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    shutil.copytree(trained.parent, tmp_path / "runs")
    return tmp_path / "runs" / "digits"
