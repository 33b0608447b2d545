"""Nothing is told to anybody: ONNX Runtime's telemetry is off, and `samna`, which runs pip when imported, unused."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_run import small_run

ROOT = Path(__file__).parents[1]
TELEMETRY = "ORT_DISABLE_TELEMETRY"
# Fails at the first connection, and says what of onnxruntime and samna was loaded.
GUARDED = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        sys.stderr.write(f"network: {event} {arguments}")
        sys.exit(99)
sys.addaudithook(refuse)
from kdsnn.cli.main import main
try:
    main()
finally:
    assert "samna" not in sys.modules
    sys.stderr.write("loaded" if "onnxruntime" in sys.modules else "not loaded")
"""


@pytest.mark.parametrize(
    ("command", "loaded"),
    [("doctor", False), ("targets", False), ("evaluate small -t onnx -n 3", True), ("export small -t onnx", True)],
)
def test_no_file_in_the_home_folder_and_no_connection(tmp_path: Path, command: str, loaded: bool) -> None:
    small_run()
    home = tmp_path / "home"
    home.mkdir()
    there = {k: v for k, v in os.environ.items() if k != TELEMETRY and not k.startswith("XDG_")}
    there |= {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, *command.split()], env=there, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 6), done.stderr  # doctor: Lava is not set up in an empty home
    assert done.stderr.endswith("loaded")
    assert ("not loaded" in done.stderr) != loaded
    assert [path for path in home.rglob("*") if "icrosoft" in str(path)] == []
    assert [path.name for path in home.rglob("*") if path.is_file()] == []


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_nothing_of_ours_imports_samna_or_the_part_of_sinabs_that_does() -> None:
    for folder in ("kdsnn", "export", "targets", "tests", "docs", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            wrong = {name for name in imported(path) if name.split(".")[0] == "samna" or "dynapcnn" in name}
            assert not wrong, (path, wrong)


def test_onnx_runtime_is_imported_in_one_place() -> None:
    importers = {
        str(path.relative_to(ROOT))
        for folder in ("kdsnn", "export", "targets", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if any(name.split(".")[0] == "onnxruntime" for name in imported(path))
    }
    assert importers == {"export/onnx_runtime.py"}
