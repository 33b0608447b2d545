"""docs/target-template, installed as a package and run; broken copies fail at the stage that is broken."""

from __future__ import annotations

import importlib
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdsnn.errors import ConformanceError
from kdsnn.targets.registry import load_target
from kdsnn.testing import STAGES, check_target
from tests.cli.conftest import Cli
from tests.pages import ROOT

TEMPLATE = ROOT / "docs" / "target-template"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the installer makes of a copy of the template."""
    copy, site = tmp_path_factory.mktemp("template") / "copy", tmp_path_factory.mktemp("site")
    shutil.copytree(TEMPLATE, copy)
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--python", sys.executable, "--target", str(site), str(copy)], check=True)
    return site


@pytest.fixture
def site(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same folder for a test alone, on the path."""
    site = tmp_path / "site"
    shutil.copytree(built, site)
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield site
    sys.modules.pop("mytarget", None)


def test_it_is_short_and_all_of_it_is_used() -> None:
    files = sorted(file.name for file in TEMPLATE.iterdir() if file.is_file())
    assert files == ["mytarget.py", "pyproject.toml", "test_mytarget.py"]
    lines = sum(len((TEMPLATE / name).read_text().splitlines()) for name in files)
    assert lines < 100
    page = (ROOT / "docs" / "add-a-target.md").read_text()
    assert f"a package of {lines} lines" in page
    assert [stage for stage in STAGES if f"| `{stage}` | " in page] == list(STAGES)


def test_installed_it_stands_among_the_targets_and_passes_its_own_test(site: Path, cli: Cli) -> None:
    listed = cli("targets")
    assert listed.code == 0
    assert "mytarget" in listed.out
    runpy.run_path(str(TEMPLATE / "test_mytarget.py"))["test_it_computes_the_same_spikes_and_counts"]()
    assert Path(sys.modules["mytarget"].__file__ or "").parent == site


@pytest.mark.parametrize(
    ("stage", "line", "broken", "said"),
    [
        ("probe", 'return Availability(True, f"', 'raise OSError(f"no board on {self.port}, ', "raised AttributeError"),
        ("check", "return overflow_violations(network)", "return network.limits", "network 'image'"),
        ("refuse", "ensure_runnable(self, network)", "pass", "compiles network 'leaky', which does not fit"),
        ("compile", "batch=64, ", "", "network 'image': target 'mytarget' raised TypeError"),
        ("run", "v += (drive", "v += (drives", "network 'image', in one batch: target 'mytarget' raised NameError"),
        ("compare", "spikes[:, t] = v > ", "spikes[:, t] = v < ", "differs from the reference in"),
        ("compare", "axis=(0, 1))", "axis=(0, 1)) + 1", "counted input_macs"),
        ("compare", "frozenset({GRADED_INPUT})", "frozenset({GRADED_INPUT, 'leak', 'current'})", "network 'leaky'"),
    ],
)
def test_a_broken_copy_fails_at_the_stage_that_is_broken(
    site: Path, stage: str, line: str, broken: str, said: str
) -> None:
    module = site / "mytarget.py"
    assert module.read_text().count(line) == 1
    module.write_text(module.read_text().replace(line, broken))
    with pytest.raises(ConformanceError) as failed:
        check_target(load_target("mytarget"))
    assert failed.value.stage == stage
    assert said in failed.value.message
