"""The house stays in order: few modules at the root, files that can be read, no folder that the import rules forget."""

import ast
import statistics
import tomllib
from pathlib import Path

from kdsnn.choices import TARGETS

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


def test_no_step_knows_a_target_by_name() -> None:
    """Only the list of choices does, and the command line; the reference is what all others are compared with."""
    others = set(TARGETS.own) - {"reference"}
    modules = {f"kdsnn.targets.{name}" for name in others}
    found = []
    for folder in (
        "data",
        "distill",
        "energy",
        "evaluation",
        "jobs",
        "noise",
        "paper",
        "recipes",
        "report",
        "steps",
        "testing",
    ):
        for path in (ROOT / "kdsnn" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                written = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in others
                module = node.module if isinstance(node, ast.ImportFrom) and node.module else ""
                if written or ".".join(module.split(".")[:3]) in modules:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
