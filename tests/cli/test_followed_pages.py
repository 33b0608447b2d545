"""Pages that a reader follows from top to bottom, executed so: in a folder with the run that the first of them makes.

Pages with a test of their own are not here; `tests/test_executed.py` holds that every block is in one or the other.
"""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.pages import ROOT, all_blocks, session, why_not_executed, without_figures

START = "docs/start.md"  # makes `runs/mine`
FOLLOWED = ("docs/concepts.md", "docs/counters.md", "docs/onnx.md")
FOLLOWED_AT_LENGTH = (  # by the long suite
    "docs/distillation.md",
    "docs/lava.md",
    "docs/noise.md",
    "docs/placement.md",
    "docs/quantize.md",
    "docs/results.md",
    "docs/sanafe.md",
)
FILE = re.compile(r"# ([\w.-]+\.(?:py|toml))\n")  # the first line of a block that is a file
EXIT_CODE = re.compile(r"# exit code (\d)$")


def follow(page: str, cli: Cli) -> None:
    """Keeps the files of a page, and executes its commands and its Python, one block after the other."""
    names: dict[str, object] = {}
    for language, text in all_blocks(page):
        if why_not_executed(page, text):
            continue
        if file := FILE.match(text):
            Path(file[1]).write_text(text)
        elif language == "python":
            exec(compile(text, page, "exec"), names)  # noqa: S102  our own page
        elif language in ("sh", "console"):
            for command, shown in session(text):
                execute(command, shown, cli)


def execute(command: str, shown: str, cli: Cli) -> None:
    """One command: it ends as the page says, with the errors that it shows."""
    words = shlex.split(command, comments=True)
    assert words[0] == "kdsnn", f"a page says {command!r}, which no test knows how to run"
    done = cli(*words[1:])
    refused = re.findall(r"^error: .*|^  - .*", shown, re.MULTILINE)
    said = EXIT_CODE.search(command)
    if said:
        assert done.code == int(said[1]), done.err
    else:
        assert bool(done.code) == bool(refused), (command, done.code, done.err)
    for line in refused:
        assert without_figures(line) in without_figures(done.err), done.err


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader follows the first page; there is no such folder until the first test has."""
    return tmp_path_factory.mktemp("started") / "reader"


@pytest.fixture
def folder(started: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, with the run of the first page."""
    monkeypatch.delenv("KDSNN_RUNS")
    if not started.exists():
        started.mkdir()
        monkeypatch.chdir(started)
        follow(START, cli)
    mine = shutil.copytree(started, tmp_path / "reader")
    monkeypatch.chdir(mine)
    return mine


def test_the_first_page_leads_to_a_report(folder: Path) -> None:
    assert (folder / "runs" / "mine" / "report.html").stat().st_size > 10_000
    evaluations = {path.name.split("-")[0] for path in (folder / "runs" / "mine" / "evaluations").iterdir()}
    assert evaluations == {"gpu", "lava"}


PREPARED: dict[str, Callable[[], object]] = {
    "docs/placement.md": lambda: shutil.copyfile(ROOT / "kdsnn" / "hardware" / "loihi2.toml", "mine.toml"),
    "docs/results.md": lambda: np.savez(
        "noise.npz", x=np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), np.uint8)
    ),
}


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page(page: str, folder: Path, cli: Cli) -> None:
    PREPARED.get(page, lambda: None)()
    follow(page, cli)


@pytest.mark.long
@pytest.mark.parametrize("page", FOLLOWED_AT_LENGTH)
def test_a_page_that_takes_longer(page: str, folder: Path, cli: Cli) -> None:
    follow(page, cli)


@pytest.mark.long
def test_the_demo(folder: Path, cli: Cli) -> None:
    done = cli("demo", "--out", "runs/demo")
    assert done.code == 0, done.err
    assert done.out.count("matches the reference spike for spike") == 2  # on torch, and on real Lava
    assert (folder / "runs" / "demo" / "report.html").stat().st_size > 10_000
