"""A full disk, and folders that nobody may write to: exit 3, the path, no half file, whichever command writes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.files import full_disk

SMALL = 512  # bytes, that a file may have


def kdsnn(*arguments: object, limit: int = -1) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own, in which no file may grow beyond a limit."""
    command = [sys.executable, full_disk.__file__, str(limit), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def assert_told(done: subprocess.CompletedProcess[str], path: Path) -> None:
    assert done.returncode == 3, done
    assert str(path) in done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr


WRITERS = {
    "nir": ("export", "{run}", "--target", "nir", "-o", "{out}/bundle"),
    "gpu": ("export", "{run}", "--target", "gpu", "--device", "cpu", "-o", "{out}/bundle"),
    "onnx": ("export", "{run}", "--target", "onnx", "-o", "{out}/bundle"),
    "lava": ("export", "{run}", "--target", "lava", "-o", "{out}/bundle"),
    "dump": ("evaluate", "{run}", "-t", "reference", "-n", "40", "--dump", "{out}/dump.npz"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_fails_in_the_middle_is_told(name: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = kdsnn(*(part.format(run=run, out=out) for part in WRITERS[name]), limit=SMALL)
    assert_told(done, out if name != "dump" else run)  # an evaluation of a run is kept in it first
    assert [path for path in tmp_path.rglob(".*.*") if path.is_file() and path.name != ".lock"] == []


def test_quantize_on_a_full_disk(run: Path, tmp_path: Path) -> None:
    before = (run / "model.nir").read_bytes()
    assert_told(kdsnn("quantize", run, "--max-disagreement", 1, limit=SMALL), run / "model.nir")
    assert (run / "model.nir").read_bytes() == before


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A file system in memory at a folder; whether it could be mounted, for which one must be root."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("options", ["size=8k", "ro"])
@pytest.mark.parametrize("name", ["nir", "quantize"])
def test_a_file_system_that_is_full_or_read_only(options: str, name: str, run: Path, tmp_path: Path) -> None:
    """Where nothing can be mounted, the folder to write to lies under a file."""
    with mounted(tmp_path / "disk", options) as there:
        out = tmp_path / "disk" / "bundle"
        if not there:
            out.parent.rmdir()
            out.parent.write_text("no folder")
        if name == "nir":
            assert_told(kdsnn("export", run, "-o", out), out)
            return
        foreign = tmp_path / "float.nir"
        write_float(foreign)
        assert_told(kdsnn("quantize", foreign, "-o", out / "a.nir", "--max-disagreement", 1), out / "a.nir")


def write_float(path: Path) -> None:
    """A float graph whose integer network takes more than the small disk has."""
    import nir
    import numpy as np

    rng, ones = np.random.default_rng(0), np.ones(64, np.float32)
    neurons = nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones)
    nodes = {
        "input": nir.Input(np.array([256])),
        "linear": nir.Linear(rng.normal(size=(64, 256)).astype(np.float32)),
        "if": neurons,
        "output": nir.Output(np.array([64])),
    }
    edges = [("input", "linear"), ("linear", "if"), ("if", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
