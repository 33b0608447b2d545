"""The package: a checkout that is not installed, the wheel and the sdist hold the same, and it runs from elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kdsnn.export.nir import write_nir
from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.testing import random_images

ROOT = Path(__file__).parents[1]


def small_network() -> Network:
    neuron = Neuron(threshold=900, bias=np.array([12, -7]))
    populations = (Population("input", (1, 3, 3), Input()), Population("out", (2,), neuron))
    weight = np.random.default_rng(3).integers(-20, 21, (2, 9))
    return Network("small", populations, (Projection("input", "out", Dense(weight)),), 4, ("a", "b"), integer=True)


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": "" if path is None else str(path)}
    done = subprocess.run([*map(str, command)], check=False, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git knows or would take, as they are now."""
    folder = tmp_path_factory.mktemp("clone") / "kdsnn-clone"
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in names:
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.exists():  # git still lists what was deleted and is not committed yet
            shutil.copy2(source, copy, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    run("uv", "build", "--quiet", "--out-dir", out, cwd=checkout)
    return out


def package_files(names: list[str], root: str) -> set[str]:
    inside = {name.removeprefix(root) for name in names if name.startswith(root)}
    return {name for name in inside if name.startswith("kdsnn/") and not name.endswith("/")}


def test_a_checkout_that_is_not_installed_can_be_imported(checkout: Path) -> None:
    code = "import kdsnn.export.nir, kdsnn.targets.reference as r; print(r.__file__); print(kdsnn.__version__)"
    found, version = run(sys.executable, "-c", code, cwd=checkout).split()
    assert Path(found) == checkout / "kdsnn" / "targets" / "reference.py"
    assert version.count(".") == 2


def test_wheel_and_sdist_hold_the_same_package(checkout: Path, built: Path) -> None:
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    root = f"{sdist.name.removesuffix('.tar.gz')}/"
    with tarfile.open(sdist) as archive:
        packed = package_files([member.name for member in archive if member.isfile()], root)
    with zipfile.ZipFile(wheel) as archive:
        assert package_files(archive.namelist(), "") == packed
    sources = {
        f"{prefix}{path.relative_to(checkout / folder)}"
        for folder, prefix in (("kdsnn", "kdsnn/"), ("export", "kdsnn/export/"), ("targets", "kdsnn/targets/"))
        for path in (checkout / folder).rglob("*")
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    }
    assert packed == sources


def test_the_wheel_runs_in_a_folder_elsewhere(built: Path, tmp_path: Path) -> None:
    unpacked, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)  # noqa: S202  our own wheel
    network = small_network()
    write_nir(network, elsewhere / "model.nir")
    np.savez(elsewhere / "images.npz", x=random_images(network, 5))
    where = run(sys.executable, "-c", "import kdsnn; print(kdsnn.__file__)", cwd=elsewhere, path=unpacked)
    assert Path(where.strip()) == unpacked / "kdsnn" / "__init__.py"
    arguments = ("evaluate", "model.nir", "--images", "images.npz", "--target", "gpu", "--json")
    answer = json.loads(run(sys.executable, "-m", "kdsnn", *arguments, cwd=elsewhere, path=unpacked))
    assert answer["samples"] == 5
    assert answer["fingerprint"] == network.fingerprint()
    assert answer["compared_populations"] == [p.name for p in network.spiking]
