"""Python environments of workers that cannot share kdsnn's own: found, or made once in the user's cache folder.

A Python of the version that is needed is looked for in an environment variable of the target's, on PATH and under a
pyenv root; where there is none, uv fetches one. The variable may also name a Python that has the package already.
`KDSNN_CACHE` moves the cache folder.
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
from importlib.util import find_spec
from pathlib import Path

from kdsnn.errors import InputError, TargetUnavailableError
from kdsnn.extras import naming_extras
from kdsnn.files.reading import read_json
from kdsnn.files.writing import lock_file, write_json
from kdsnn.targets.base import Availability

__all__ = ["Environment", "Needed", "cache_folder", "find", "probe", "require", "set_up", "worker_variables"]

READY = "ready.json"  # written last: an environment without it is incomplete and made anew
CACHE_VARIABLE = "KDSNN_CACHE"
PROBE_LIMIT_S = 20
CHECK_LIMIT_S = 180  # the first import compiles all of scipy
INSTALL_LIMIT_S = 1200
STDERR_LINES = 15

_PROBE = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
def found(name):
    try: return version(name)
    except PackageNotFoundError: return ""
print(json.dumps([sys.executable, "%d.%d" % sys.version_info[:2], {
    "python": sys.version.split()[0], **{name: found(name) for name in sys.argv[1:]}}]))
"""


@dataclass(frozen=True)
class Needed:
    """The environment that a target's worker needs.

    Attributes:
        target: name of it; `kdsnn setup NAME` makes the environment.
        package: for whose sake it is made; the requirements pin it.
        python: its version, such as `3.10`.
        requirements: the file of all packages in it.
        check: code that fails where the package does not run.
    """

    target: str
    package: str
    python: str
    requirements: Path
    check: str

    @property
    def variable(self) -> str:
        """The environment variable that names a Python for it, such as `KDSNN_LAVA_PYTHON`."""
        return f"KDSNN_{self.target.upper().replace('-', '_')}_PYTHON"

    @property
    def hint(self) -> str:
        """What to do where no Python can be had, or the package not be installed."""
        return (
            f"install Python {self.python} and set {self.variable} to it, or to a Python {self.python} that has"
            f" {self.package}, then run kdsnn doctor"
        )

    @property
    def pinned(self) -> str:
        """The version of the package."""
        lines = self.requirements.read_text().splitlines()
        return next(line.partition("==")[2] for line in lines if line.startswith(f"{self.package}=="))


@dataclass(frozen=True)
class Environment:
    """An interpreter with a package, and the versions in it: those of `python`, the package and `numpy`."""

    package: str
    python: Path
    versions: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.package} {self.versions[self.package]} on Python {self.versions['python']}"


def cache_folder(needed: Needed) -> Path:
    """Where the environment lives; its name says which requirements it was made from."""
    from platformdirs import user_cache_dir

    root = Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("kdsnn")).expanduser()
    return root.absolute() / f"{needed.target}-{hashlib.sha256(needed.requirements.read_bytes()).hexdigest()[:16]}"


def find(needed: Needed) -> Environment | None:
    """The environment, if it is set up. Quick; makes nothing and never raises."""
    try:
        return _given(needed) or _made(needed, cache_folder(needed))
    except Exception:  # noqa: BLE001  whatever is wrong with it, it is not set up
        return None


def probe(needed: Needed) -> Availability:
    """Whether the environment is set up. Makes nothing."""
    found = find(needed)
    if found is None:
        return Availability(False, f"its Python {needed.python} environment is not set up", _setup_hint(needed))
    return Availability(True, str(found))


def require(needed: Needed) -> Environment:
    """The environment.

    Raises:
        TargetUnavailableError: it is not set up.
    """
    found = find(needed)
    if found is None:
        raise TargetUnavailableError(
            f"the Python {needed.python} environment of {needed.package} is not set up", hint=_setup_hint(needed)
        )
    return found


def set_up(needed: Needed, *, progress: Callable[[str], None] | None = None) -> Environment:
    """The environment, made where it is missing; returns at once where it is there.

    Args:
        needed: which.
        progress: called with a line for each thing that takes a while.

    Raises:
        TargetUnavailableError: it cannot be made.
    """
    say = progress or (lambda _: None)
    if sys.platform == "win32":
        raise TargetUnavailableError(
            f"{needed.package} runs here on Linux and macOS only", hint="use WSL, or another target"
        )
    try:
        given, folder = _given(needed), cache_folder(needed)
        if given:
            return given
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.with_suffix(".lock"), needed, say):
            return _made(needed, folder) or _make(needed, folder, say)
    except OSError as error:
        raise TargetUnavailableError(
            f"the environment of {needed.package} cannot be made: {error}",
            hint=f"set {CACHE_VARIABLE} to a folder you can write to",
        ) from error


def worker_variables() -> dict[str, str]:
    """Environment variables of a process in that interpreter: nothing of ours leaks in, and no thread pool starts."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}


def _setup_hint(needed: Needed) -> str:
    return f"run: kdsnn setup {needed.target}"


def _given(needed: Needed) -> Environment | None:
    """What the target's variable names, if the package is in it."""
    named, package = os.environ.get(needed.variable), needed.package
    if not named:
        return None
    python, version, versions = _probe(needed, named)
    if version != needed.python:
        raise TargetUnavailableError(
            f"{needed.variable} is {named!r}, which is Python {version}, not {needed.python}", hint=needed.hint
        )
    if not versions[package]:
        return None
    if versions[package] != needed.pinned:
        raise TargetUnavailableError(
            f"{needed.variable} is {named!r}, which has {package} {versions[package]}, not {needed.pinned}",
            hint=f"name a bare Python {needed.python} there and run kdsnn setup {needed.target}",
        )
    return Environment(package, Path(python), versions)


def _made(needed: Needed, folder: Path) -> Environment | None:
    """The environment in the cache folder, if it is complete and its interpreter is still there."""
    python, marker = folder / "bin" / "python", folder / READY
    if not (marker.is_file() and os.access(python, os.X_OK)):
        return None
    try:
        versions = read_json(marker)
        names = ("python", needed.package, "numpy")
        return Environment(needed.package, python, {name: str(versions[name]) for name in names})
    except (InputError, KeyError):
        return None


def _make(needed: Needed, folder: Path, say: Callable[[str], None]) -> Environment:
    tool, version, package = _uv_tool(), needed.python, needed.package
    if folder.exists():
        shutil.rmtree(folder)  # what an interrupted set-up left
    base = _base_python(needed)
    say(f"making a Python {version} environment from {base or 'a Python that uv fetches'}")
    make = [tool, "venv", "--quiet", "--no-project", "--python", base or version, str(folder)]
    _uv(needed, make, folder, f"no Python {version}")
    python = folder / "bin" / "python"
    say(f"installing {package} {needed.pinned}")
    install = [tool, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    _uv(needed, [*install, "--requirement", str(needed.requirements)], folder, f"{package} cannot be installed")
    say(f"checking that {package} runs")
    _run(needed, [str(python), "-c", needed.check], CHECK_LIMIT_S, f"{package} was installed and cannot be imported")
    versions = _probe(needed, str(python))[2]
    write_json(folder / READY, versions)
    return Environment(package, python, versions)


def _uv_tool() -> str:
    """The uv of this environment, or the one on the PATH.

    Raises:
        MissingExtraError: there is neither.
    """
    if find_spec("uv") is None and (found := shutil.which("uv")):
        return found
    with naming_extras():
        import uv
    return uv.find_uv_bin()


def _base_python(needed: Needed) -> str | None:
    """A Python of that version on this machine, or None."""
    for candidate in _candidates(needed):
        try:
            python, version, _ = _probe(needed, candidate)
        except TargetUnavailableError:
            continue  # a pyenv shim, say, that finds no such Python behind it
        if version == needed.python:
            return python
    return None


def _candidates(needed: Needed) -> Iterator[str]:
    name = f"python{needed.python}"
    if named := os.environ.get(needed.variable):
        yield named
    if on_path := shutil.which(name):
        yield on_path
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(p) for p in sorted(root.glob(f"versions/{needed.python}.*/bin/{name}"), reverse=True))


def _probe(needed: Needed, python: str) -> tuple[str, str, dict[str, str]]:
    """What an interpreter says it is: its real path, `3.10`, and its versions of python, the package and numpy."""
    command = [python, "-c", _PROBE, needed.package, "numpy"]
    answer = _run(needed, command, PROBE_LIMIT_S, f"{python!r} is no Python that runs")
    try:
        path, version, versions = json.loads(answer.splitlines()[-1])
        return str(path), str(version), dict(versions)
    except (ValueError, IndexError, TypeError) as error:
        raise TargetUnavailableError(f"{python!r} is no Python that runs: it answered {answer[:200]!r}") from error


def _uv(needed: Needed, command: Sequence[str], folder: Path, what: str) -> None:
    # in the cache folder, so that no project's uv settings apply
    _run(needed, command, INSTALL_LIMIT_S, what, cwd=folder.parent)


def _run(needed: Needed, command: Sequence[str], limit_s: float, what: str, cwd: Path | None = None) -> str:
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
        raise TargetUnavailableError(f"{what}: no answer within {limit_s:g} s", hint=needed.hint) from error
    except OSError as error:
        raise TargetUnavailableError(f"{what}: {error}", hint=needed.hint) from error
    if done.returncode:
        tail = done.stderr.strip().splitlines()[-STDERR_LINES:] or [f"exit code {done.returncode}, nothing on stderr"]
        raise TargetUnavailableError(what, hint=needed.hint, problems=tail)
    return done.stdout


@contextmanager
def _lock(path: Path, needed: Needed, say: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock file, so that two processes do not make the environment at once; a crash frees it."""
    import fcntl

    with lock_file(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that makes the environment of {needed.package}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
