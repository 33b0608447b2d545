"""A full disk, and folders that nobody may write to: exit 3, the path, no half file, whichever command writes."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nir
import numpy as np
import pytest

from kdsnn.export.nir import write_nir
from tests.cli.conftest import Cli, Done
from tests.files import full_disk
from tests.files.tiny import tiny_network
from tests.small_run import small_run

SMALL = 4096  # bytes that a file may have: more than a message takes, and less than a network
ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network as a file, with images beside it."""
    write_nir(tiny_network(), tmp_path / "tiny.nir")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4)).astype(np.uint8)
    pixels[0, 0, 0, 0] = 255
    np.savez(tmp_path / "images.npz", x=pixels, y=np.arange(40) % 3)
    return tmp_path / "tiny.nir"


@contextmanager
def no_file_beyond(limit: int) -> Iterator[None]:
    """No file may grow beyond a limit: a write fails as on a full disk, in its middle, whoever runs the tests."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_told(code: int, told: str, path: Path) -> None:
    assert code == 3, told
    assert str(path) in told
    assert "Traceback" not in told
    assert "bug" not in told


def assert_nothing_half_written(folder: Path) -> None:
    assert [path for path in folder.rglob(".*.*") if path.is_file()] == []


WRITERS = {
    "nir": ("export", "{model}", "--target", "nir", "-o", "{out}"),
    "gpu": ("export", "{model}", "--target", "gpu", "--device", "cpu", "--images", "{images}", "-o", "{out}"),
    "dump": ("evaluate", "{model}", "-t", "reference", "--images", "{images}", "--dump", "{out}"),
    "quantize": ("quantize", "{float}", "-o", "{out}/a.nir", "--max-disagreement", "1"),
}


def arguments(name: str, model: Path, out: Path) -> list[str]:
    places = {"model": model, "images": model.with_name("images.npz"), "float": model.with_name("float.nir")}
    if name == "quantize":
        write_float(places["float"])
    return [part.format(out=out, **places) for part in WRITERS[name]]


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_fails_in_the_middle_is_told(name: str, model: Path, tmp_path: Path, cli: Cli) -> None:
    command = arguments(name, model, tmp_path / "out")
    with no_file_beyond(SMALL if name != "dump" else 512):
        done = cli(*command)
    assert_told(done.code, done.err, tmp_path / "out")
    assert_nothing_half_written(tmp_path)


def test_no_library_ends_the_process_on_a_full_disk(model: Path, tmp_path: Path) -> None:
    """HDF5 did as it closed its file, at the end of the process."""
    command = [sys.executable, full_disk.__file__, str(SMALL), *arguments("nir", model, tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert_told(done.returncode, done.stderr, tmp_path / "out" / "model.nir")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A file system in memory at a folder; whether it could be mounted, for which one must be root."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("options", ["size=8k", "ro"])
@pytest.mark.parametrize("name", ["nir", "quantize"])
def test_a_file_system_that_is_full_or_read_only(
    options: str, name: str, model: Path, tmp_path: Path, cli: Cli
) -> None:
    """Where nothing can be mounted, the folder to write to lies under a file."""
    with mounted(tmp_path / "disk", options) as there:
        out = tmp_path / "disk" / "bundle"
        if not there:
            out.parent.rmdir()
            out.parent.write_text("no folder")
        done: Done = cli(*arguments(name, model, out))
        assert_told(done.code, done.err, out)


def write_float(path: Path) -> None:
    """A float graph whose integer network takes more than the small disk has."""
    rng, ones = np.random.default_rng(0), np.ones(64, np.float32)
    nodes = {
        "input": nir.Input(np.array([256])),
        "linear": nir.Linear(rng.normal(size=(64, 256)).astype(np.float32)),
        "if": nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones),
        "output": nir.Output(np.array([64])),
    }
    edges = [("input", "linear"), ("linear", "if"), ("if", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))


@pytest.mark.parametrize("target", ["onnx", "lava"])
def test_a_disk_that_is_full_after_the_network(target: str, model: Path, tmp_path: Path, cli: Cli) -> None:
    """What else a bundle holds finds no room: it does not count as one. Not root, there is no such disk."""
    size = -(-model.stat().st_size // 4096) * 4 + 4
    with mounted(tmp_path / "disk", f"size={size}k") as there:
        out = tmp_path / "disk" / "bundle"
        if not there:
            out.write_text("no folder")
        done = cli("export", model, "-t", target, "--images", model.with_name("images.npz"), "-o", out)
        assert_told(done.code, done.err, out)
        assert (out / "model.nir").is_file() == there
        assert not (out / "manifest.json").exists()


INTO_A_RUN = {
    "evaluate": ("evaluate", "{run}", "-t", "reference", "-n", "2"),
    "report": ("report", "{run}"),
    "figure": ("figure", "layers", "{run}", "-o", "{run}/layers.svg"),
    "noise": ("noise", "{run}", "-k", "spike-drop", "-n", "2", "--seeds", "1", "--levels", "0.1"),
    "export": ("export", "{run}", "-t", "nir"),
    "teach": ("teach", "digits-2conv"),
    "distill": ("distill", "digits-2conv", "--run", "{run}/new"),
    "a run": ("distill", "digits-2conv"),
    "convert": (
        "convert",
        "{net}:make",
        "--images",
        "digits",
        "-T",
        "2",
        "--max-disagreement",
        "1",
        "--run",
        "{run}/c",
    ),
    "file": ("convert", "{net}:make", "--images", "digits", "-T", "2", "--max-disagreement", "1", "-o", "{run}/c.nir"),
}
NET = """
import snntorch
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), snntorch.Leaky(0.8, threshold=0.1, init_hidden=True))
"""


@pytest.mark.parametrize("name", INTO_A_RUN)
def test_a_run_in_a_folder_that_nobody_may_write_to(
    name: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(NET)
    with mounted(tmp_path / "disk", "size=8m") as there:
        monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "disk"))
        run = small_run().path.parent
        assert cli("evaluate", run, "-t", "reference").code == 0
        with read_only(tmp_path / "disk", there):
            done = cli(*(part.format(run=run, net=tmp_path / "net.py") for part in INTO_A_RUN[name]))
        assert_told(done.code, done.err, tmp_path / "disk")


@contextmanager
def read_only(folder: Path, is_mounted: bool) -> Iterator[None]:
    """A folder with all that is in it, which cannot be written to: a mount by root, or by its permissions."""
    if is_mounted:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield
        return
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o555)
    yield
    for each in folders:
        each.chmod(0o755)
