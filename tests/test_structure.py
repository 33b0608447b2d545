"""The house stays in order: few modules at the root, files that can be read, no folder that the import rules forget."""

import ast
import re
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


WRITES = re.compile(
    r"write_text\(|write_bytes\(|np\.save|torch\.save\(|save_file\(|nir\.write\(|h5py\.File\([^)]*\"[wax]"
    r"|open\([^)]*\"[wax+]+b?t?\"|shutil\.copy|mkstemp|NamedTemporaryFile|open_memmap|os\.link|SummaryWriter\("
)
IN_MEMORY = re.compile(r"np\.savez?(_compressed)?\((buffer|packed),|nir\.write\(file, ")
WRITE = {  # which module may, and why
    "kdsnn/files/writing.py": "the helper itself",
    "kdsnn/distill/tensorboard.py": "TensorBoard writes by itself, inside `writing`",
    "targets/processes/supervisor.py": "what a worker prints, inside `writing`",
}


def test_files_are_written_by_one_module_alone() -> None:
    """Workers' scripts run without kdsnn, in a folder that goes with them."""
    found = [
        f"{name}: {line.strip()}"
        for path in package_files()
        if "worker" not in path.parts and (name := str(path.relative_to(ROOT))) not in WRITE
        for line in path.read_text().splitlines()
        if WRITES.search(line) and not IN_MEMORY.search(line) and not line.lstrip().startswith(("hint", '"', "#"))
    ]
    assert found == []


def test_arrays_and_archives_of_strangers_are_read_by_one_module_alone() -> None:
    """Elsewhere `np.load` reads what our own workers left."""
    readers = re.compile(r"np\.load\(|zipfile\.ZipFile\(|torch\.load\(|h5py\.File\(|safe_open\(|Image\.open\(")
    may = {
        "kdsnn/data/sources/columns.py",
        "kdsnn/data/sources/folder.py",
        "kdsnn/distill/checkpoint.py",
        "export/hdf5_guard.py",
        "targets/lava/adapter.py",
        "targets/processes/results.py",
        "targets/sanafe/result.py",
    }
    read = {
        str(path.relative_to(ROOT))
        for path in package_files()
        if "worker" not in path.parts and readers.search(path.read_text())
    }
    assert read == may
