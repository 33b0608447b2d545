"""The environment is found, made once, made anew where it is broken, and its absence is explained."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from kdsnn.errors import TargetUnavailableError
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import LAVA, setup_environment
from kdsnn.targets.processes.environments import Environment, cache_folder, find


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment) -> Path:
    """A cache folder of this test alone; depends on the real environment, which must be made before."""
    monkeypatch.setenv("KDSNN_CACHE", str(tmp_path / "cache folder"))
    monkeypatch.delenv("KDSNN_LAVA_PYTHON", raising=False)
    return cache_folder(LAVA)


def fake_python(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_what_is_not_set_up_is_not_available_and_says_what_to_do(empty_cache: Path) -> None:
    assert find(LAVA) is None
    availability = LavaTarget().probe()
    assert not availability.available
    assert availability.hint == "run: kdsnn setup lava"
    assert not empty_cache.parent.exists(), "a probe made something"


def test_a_second_setup_returns_what_is_there(environment: Environment) -> None:
    said: list[str] = []
    assert setup_environment(progress=said.append) == environment == find(LAVA)
    assert said == []


def test_a_broken_environment_is_made_anew_by_one_of_two(empty_cache: Path) -> None:
    (empty_cache / "bin").mkdir(parents=True)
    (empty_cache / "bin" / "python").write_text("interrupted")
    assert find(LAVA) is None
    made: list[Environment] = []
    said: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(setup_environment(progress=said.append))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1] == find(LAVA)
    assert sum("installing" in line for line in said) == 1
    assert sum("waiting" in line for line in said) == 1
    (empty_cache / "bin" / "python").unlink()
    assert find(LAVA) is None, "its interpreter is gone"


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"python": "3.10.1"}'])
def test_a_damaged_marker_is_no_environment(empty_cache: Path, marker: str) -> None:
    (empty_cache / "bin").mkdir(parents=True)
    (empty_cache / "bin" / "python").symlink_to(sys.executable)
    (empty_cache / "ready.json").write_text(marker)
    assert find(LAVA) is None


def test_a_named_python_with_lava_is_used_as_it_is(
    environment: Environment, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDSNN_LAVA_PYTHON", str(environment.python))
    for found in (find(LAVA), setup_environment()):
        assert found is not None
        assert found.versions["lava-nc"] == "0.10.0"
    assert not empty_cache.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("exit 3", "exit code 3"),
        ("echo broken >&2; exit 1", "broken"),
        ("echo hello", "no Python that runs"),
        (f"exec {sys.executable!r} " + '"$@"', "not 3.10"),
        ("""echo '["/x", "3.10", {"python": "3.10.1", "lava-nc": "0.9.0", "numpy": "1.2"}]'""", "lava-nc 0.9.0, not"),
    ],
)
def test_a_named_python_that_will_not_do_is_explained(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    monkeypatch.setenv("KDSNN_LAVA_PYTHON", str(fake_python(tmp_path / "a python", body)))
    assert find(LAVA) is None
    with pytest.raises(TargetUnavailableError) as caught:
        setup_environment()
    assert message in str(caught.value)
    assert caught.value.exit_code == 6


def test_without_any_python_3_10_the_error_says_what_to_do(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")  # as a shim does
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + "/bin")
    for name in ("PYENV_ROOT", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(TargetUnavailableError, match=r"no Python 3\.10") as caught:
        setup_environment()
    assert "KDSNN_LAVA_PYTHON" in caught.value.hint
    assert caught.value.problems
    assert find(LAVA) is None


def test_an_install_without_a_network_is_explained(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(TargetUnavailableError, match="lava-nc cannot be installed") as caught:
        setup_environment()
    assert caught.value.problems
    assert find(LAVA) is None


def test_a_cache_that_cannot_be_written_is_explained(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDSNN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(TargetUnavailableError) as caught:
        setup_environment()
    assert "KDSNN_CACHE" in caught.value.hint
