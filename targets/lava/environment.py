"""The Python 3.10 environment that lava-nc needs: found, or made once in the user's cache folder.

A Python 3.10 is looked for in `KDSNN_LAVA_PYTHON`, on PATH and under a pyenv root; where there is none, uv fetches one.
`KDSNN_LAVA_PYTHON` may also name a Python that has lava-nc already. `KDSNN_CACHE` moves the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdsnn.errors import InputError, TargetUnavailableError
from kdsnn.files.reading import read_json
from kdsnn.files.writing import lock_file, write_json

__all__ = ["LavaEnvironment", "cache_folder", "find_environment", "setup_environment", "worker_variables"]

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
READY = "ready.json"  # written last: an environment without it is incomplete and made anew
PYTHON_VARIABLE = "KDSNN_LAVA_PYTHON"
CACHE_VARIABLE = "KDSNN_CACHE"
PROBE_LIMIT_S = 20
CHECK_LIMIT_S = 180  # the first import compiles all of scipy
INSTALL_LIMIT_S = 1200
STDERR_LINES = 15
HINT = (
    f"install Python 3.10 and set {PYTHON_VARIABLE} to it, or to a Python 3.10 that has lava-nc, then run kdsnn doctor"
)

_PROBE = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
def found(name):
    try: return version(name)
    except PackageNotFoundError: return ""
print(json.dumps([sys.executable, "%d.%d" % sys.version_info[:2], {
    "python": sys.version.split()[0], "lava-nc": found("lava-nc"), "numpy": found("numpy")}]))
"""
_CHECK = """
import lava.proc.conv.process, lava.proc.dense.process, lava.proc.lif.process, lava.magma.runtime.runtime
"""


@dataclass(frozen=True)
class LavaEnvironment:
    """An interpreter with lava-nc, and the versions in it: `python`, `lava-nc`, `numpy`."""

    python: Path
    versions: Mapping[str, str]

    def __str__(self) -> str:
        return f"lava-nc {self.versions['lava-nc']} on Python {self.versions['python']}"


def cache_folder() -> Path:
    """Where the environment lives; its name says which requirements it was made from."""
    from platformdirs import user_cache_dir

    root = Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("kdsnn")).expanduser()
    return root.absolute() / f"lava-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"


def find_environment() -> LavaEnvironment | None:
    """The environment, if it is set up. Quick; makes nothing and never raises."""
    try:
        return _given() or _made(cache_folder())
    except Exception:  # noqa: BLE001  whatever is wrong with it, it is not set up
        return None


def setup_environment(*, progress: Callable[[str], None] | None = None) -> LavaEnvironment:
    """The environment, made where it is missing; returns at once where it is there.

    Args:
        progress: called with a line for each thing that takes a while.

    Raises:
        TargetUnavailableError: it cannot be made.
    """
    say = progress or (lambda _: None)
    if sys.platform == "win32":
        raise TargetUnavailableError("lava-nc runs on Linux and macOS only", hint="use WSL, or another target")
    try:
        given, folder = _given(), cache_folder()
        if given:
            return given
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_suffix(".lock"), say):
            return _made(folder) or _make(folder, say)
    except OSError as error:
        raise TargetUnavailableError(
            f"the Lava environment cannot be made: {error}", hint=f"set {CACHE_VARIABLE} to a folder you can write to"
        ) from error


def worker_variables() -> dict[str, str]:
    """Environment variables of a process in that interpreter: nothing of ours leaks in, and no thread pool starts."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}


def _given() -> LavaEnvironment | None:
    """What KDSNN_LAVA_PYTHON names, if lava-nc is in it."""
    named = os.environ.get(PYTHON_VARIABLE)
    if not named:
        return None
    python, version, versions = _probe(named)
    if version != "3.10":
        raise TargetUnavailableError(f"{PYTHON_VARIABLE} is {named!r}, which is Python {version}, not 3.10", hint=HINT)
    if not versions["lava-nc"]:
        return None
    wanted = _pinned("lava-nc")
    if versions["lava-nc"] != wanted:
        raise TargetUnavailableError(
            f"{PYTHON_VARIABLE} is {named!r}, which has lava-nc {versions['lava-nc']}, not {wanted}",
            hint="name a bare Python 3.10 there and run kdsnn setup lava",
        )
    return LavaEnvironment(Path(python), versions)


def _made(folder: Path) -> LavaEnvironment | None:
    """The environment in the cache folder, if it is complete and its interpreter is still there."""
    python, marker = folder / "bin" / "python", folder / READY
    if not (marker.is_file() and os.access(python, os.X_OK)):
        return None
    try:
        versions = read_json(marker)
        return LavaEnvironment(python, {name: str(versions[name]) for name in ("python", "lava-nc", "numpy")})
    except (InputError, KeyError):
        return None


def _make(folder: Path, say: Callable[[str], None]) -> LavaEnvironment:
    import uv

    if folder.exists():
        shutil.rmtree(folder)  # what an interrupted set-up left
    tool, base = uv.find_uv_bin(), _base_python()
    say(f"making a Python 3.10 environment from {base or 'a Python that uv fetches'}")
    interpreter = base or "3.10"
    _uv([tool, "venv", "--quiet", "--no-project", "--python", interpreter, str(folder)], folder, "no Python 3.10")
    python = folder / "bin" / "python"
    say(f"installing lava-nc {_pinned('lava-nc')}")
    install = [tool, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    _uv([*install, "--requirement", str(REQUIREMENTS)], folder, "lava-nc cannot be installed")
    say("checking that lava-nc runs")
    _run([str(python), "-c", _CHECK], CHECK_LIMIT_S, "lava-nc was installed and cannot be imported")
    versions = _probe(str(python))[2]
    write_json(folder / READY, versions)
    return LavaEnvironment(python, versions)


def _base_python() -> str | None:
    """A Python 3.10 of this machine, or None."""
    for candidate in _candidates():
        try:
            python, version, _ = _probe(candidate)
        except TargetUnavailableError:
            continue  # a pyenv shim, say, that finds no Python 3.10 behind it
        if version == "3.10":
            return python
    return None


def _candidates() -> Iterator[str]:
    if named := os.environ.get(PYTHON_VARIABLE):
        yield named
    if on_path := shutil.which("python3.10"):
        yield on_path
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(p) for p in sorted(root.glob("versions/3.10.*/bin/python3.10"), reverse=True))


def _probe(python: str) -> tuple[str, str, dict[str, str]]:
    """What an interpreter says it is: its real path, `3.10`, and its versions of python, lava-nc and numpy."""
    answer = _run([python, "-c", _PROBE], PROBE_LIMIT_S, f"{python!r} is no Python that runs")
    try:
        path, version, versions = json.loads(answer.splitlines()[-1])
        return str(path), str(version), dict(versions)
    except (ValueError, IndexError, TypeError) as error:
        raise TargetUnavailableError(f"{python!r} is no Python that runs: it answered {answer[:200]!r}") from error


def _uv(command: Sequence[str], folder: Path, what: str) -> None:
    # in the cache folder, so that no project's uv settings apply
    _run(command, INSTALL_LIMIT_S, what, cwd=folder.parent)


def _run(command: Sequence[str], limit_s: float, what: str, cwd: Path | None = None) -> str:
    """Standard output of a command.

    Raises:
        TargetUnavailableError: it failed; `what` begins the message, which ends with what it wrote to stderr.
    """
    try:
        done = subprocess.run(  # noqa: S603  our own commands and the interpreter that the user named
            list(command),
            check=False,
            capture_output=True,
            cwd=cwd,
            env=worker_variables(),
            errors="replace",
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired as error:
        raise TargetUnavailableError(f"{what}: no answer within {limit_s:g} s", hint=HINT) from error
    except OSError as error:
        raise TargetUnavailableError(f"{what}: {error}", hint=HINT) from error
    if done.returncode:
        tail = done.stderr.strip().splitlines()[-STDERR_LINES:] or [f"exit code {done.returncode}, nothing on stderr"]
        raise TargetUnavailableError(what, hint=HINT, problems=tail)
    return done.stdout


def _pinned(package: str) -> str:
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


@contextmanager
def _lock(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock file, so that two processes do not make the environment at once; a crash frees it."""
    import fcntl

    with lock_file(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that makes the Lava environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
