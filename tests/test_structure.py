"""The house stays in order: few modules at the root, files that can be read, no folder that the import rules forget."""

import statistics
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_AT_THE_ROOT = 8
LONGEST, MEDIAN = 360, 110  # lines of a file


def package_files() -> list[Path]:
    return [path for folder in ("kdsnn", "export", "targets") for path in (ROOT / folder).rglob("*.py")]


def test_few_modules_lie_at_the_root() -> None:
    modules = sorted(path.name for path in (ROOT / "kdsnn").glob("*.py"))
    assert len(modules) <= MOST_AT_THE_ROOT, modules


def test_files_are_short() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in package_files()}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > LONGEST} == {}
    assert statistics.median(lines.values()) <= MEDIAN


def test_the_import_rules_name_every_folder_and_module() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = config["tool"]["importlinter"]["contracts"]
    named = {name.strip() for layer in contract["layers"] for name in layer.replace(":", "|").split("|")}
    there = {f"kdsnn.{path.parent.name}" for path in (ROOT / "kdsnn").glob("*/__init__.py")}
    there |= {f"kdsnn.{path.stem}" for path in (ROOT / "kdsnn").glob("*.py") if not path.stem.startswith("__")}
    assert named == there


def test_the_two_links_lead_to_the_folders_at_the_top() -> None:
    for name in ("export", "targets"):
        assert (ROOT / "kdsnn" / name).readlink() == Path("..") / name
