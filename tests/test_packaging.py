"""The package: a checkout that is not installed, the wheel and the sdist hold the same, and it runs from elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
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


def started(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "", **variables}
    return subprocess.run([*map(str, command)], check=False, cwd=cwd, env=environment, capture_output=True, text=True)


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = started(*command, cwd=cwd, **variables)
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


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, and what its metadata says that it needs, alone."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run("uv", "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    install(folder / "bin" / "python", built)
    return folder / "bin" / "python"


def install(python: Path, built: Path, extra: str = "") -> None:
    """Installs the wheel, in the versions that the project is tested with."""
    constraints = built / "constraints.txt"
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    constraints.write_text("\n".join(pinned))
    (wheel,) = built.glob("*.whl")
    command = ("uv", "pip", "install", "--quiet", "--python", python, "--constraint", constraints)
    run(*command, f"kdsnn{extra} @ {wheel.as_uri()}", cwd=built)


def test_the_wheel_runs_in_an_environment_of_its_own(environment: Path, built: Path, tmp_path: Path) -> None:
    """With what it declares alone: what works is found, a network is evaluated, and Lava is set up by its extra."""
    kdsnn, variables = environment.with_name("kdsnn"), {"KDSNN_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    network = small_network()
    write_nir(network, tmp_path / "model.nir")
    np.savez(tmp_path / "images.npz", x=random_images(network, 5))
    where = run(environment, "-c", "import kdsnn; print(kdsnn.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.parents[1])
    found = {f["what"]: f["ok"] for f in json.loads(run(kdsnn, "doctor", "--json", cwd=tmp_path))["findings"]}
    assert found["target gpu"]
    assert not found["extra lava"]
    arguments = ("evaluate", "model.nir", "--images", "images.npz", "--json", "--target")
    answer = json.loads(run(kdsnn, *arguments, "gpu", cwd=tmp_path))
    assert answer["samples"] == 5
    assert answer["fingerprint"] == network.fingerprint()
    assert answer["compared_populations"] == [p.name for p in network.spiking]

    refused = started(kdsnn, "setup", "lava", cwd=tmp_path, **variables)
    assert refused.returncode == 6
    assert "pip install 'kdsnn[lava]'" in refused.stderr
    install(environment, built, "[lava]")
    assert started(kdsnn, "setup", "lava", cwd=tmp_path, **variables | {"PATH": os.environ["PATH"]}).returncode == 0
    answer = json.loads(run(kdsnn, *arguments, "lava", cwd=tmp_path, **variables))
    assert answer["compared_populations"] == [p.name for p in network.spiking]
