"""Run folders: how they are made, found, named and locked.

A run is one folder: `recipe.toml`, checkpoints, results, `model.nir`, reports. A module of the user's own that was
converted has `module.json` in place of a recipe. Runs lie under `runs/`, or where KDSNN_RUNS says.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from kdsnn.errors import InputError, LockedError, UsageError
from kdsnn.files.writing import lock_file, writing
from kdsnn.registry import suggestion

__all__ = [
    "MODULE",
    "RECIPE",
    "find_run",
    "lock",
    "name_of_run",
    "names_apart",
    "new_run",
    "recipe_path",
    "run_names",
    "runs_root",
]

RECIPE = "recipe.toml"
MODULE = "module.json"
CONVERT = "kdsnn convert FILE.py:FUNCTION --weights FILE.safetensors --images DATA, where FUNCTION returns the network"
OTHER_KINDS = {  # by how a name ends: what it is, and what to do with it
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), ("weights without their network", CONVERT)),
    ".py": ("Python code", CONVERT),
    ".net": ("a network of lava-dl", "build it as a NIR graph with the package nir, and: kdsnn quantize own.nir"),
    ".onnx": (
        "an ONNX graph, which has no spiking neurons",
        "distil a student from a teacher: kdsnn distill RECIPE (kdsnn list recipes, kdsnn list teachers)",
    ),
    ".nir": ("a NIR file, which this command does not take", "kdsnn quantize, export and evaluate take one"),
    **dict.fromkeys((".h5", ".hdf5"), ("an HDF5 file", "if it is a NIR graph, let its name end in .nir")),
    ".toml": ("a recipe", "train it: kdsnn distill RECIPE.toml"),
    **dict.fromkeys((".npz", ".npy"), ("images", "kdsnn evaluate takes them: --images FILE.npz")),
}


def runs_root() -> Path:
    """The folder under which runs lie."""
    return Path(os.environ.get("KDSNN_RUNS") or "runs")


def new_run(name: str) -> Path:
    """A new, empty run folder `NAME-YYYYmmdd-HHMMSS` under the root.

    Raises:
        InputError: it cannot be made.
    """
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        folder = runs_root() / f"{name}-{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"no run folder can be made at {folder}: {error}", hint="set KDSNN_RUNS") from error
        return folder
    raise InputError(f"there are too many runs {name}-{stamp}")


def run_names() -> list[str]:
    """Names of the runs under the root, the latest first."""
    return [folder.name for folder in _runs()]


def _runs() -> list[Path]:
    root = runs_root()
    try:
        found = [f for f in root.iterdir() if _mark(f)] if root.is_dir() else []
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error.strerror or error}", hint="set KDSNN_RUNS") from error
    return sorted(found, key=lambda f: (_mark(f) or f).stat().st_mtime_ns, reverse=True)


def _mark(folder: Path) -> Path | None:
    """The file that makes a folder a run."""
    return next((folder / name for name in (RECIPE, MODULE) if (folder / name).is_file()), None)


def recipe_path(run: Path) -> Path:
    """The recipe of a run.

    Raises:
        InputError: it is the run of a converted module, which has none.
    """
    if (run / MODULE).is_file():
        raise InputError(
            f"run {run} is of a module that was converted: it has a network, and no recipe and no student",
            hint=f"make its network anew: kdsnn convert FILE.py:FUNCTION --run {run}, or kdsnn quantize FILE.nir "
            f"--run {run}",
        )
    return run / RECIPE


def find_run(run: str | None) -> Path:
    """The folder of a run.

    Args:
        run: its path, or its name under the root; None is the latest.

    Raises:
        InputError: there is none.
        UsageError: it is the name of a file of another kind; says what to do with that.
    """
    found = _runs()
    if run is None:
        if not found:
            raise InputError(f"there is no run under {runs_root()}", hint="make one with: kdsnn distill mnist5k-2conv")
        return found[0]
    for folder in (Path(run), runs_root() / run):
        if _mark(folder):
            return folder
    if kind := OTHER_KINDS.get(Path(run).suffix.lower()):
        what, instead = kind
        raise UsageError(f"{run!r} is {what}, and a model is a run, or a NIR file (.nir)", hint=instead)
    names = [folder.name for folder in found]
    hint = suggestion(Path(run).name, names, "runs") if names else "make one with: kdsnn distill mnist5k-2conv"
    raise InputError(f"there is no run {run!r}, neither as a path nor under {runs_root()}", hint=hint)


def name_of_run(folder: Path) -> str:
    """The name of a run's folder, for `.` and `..` too. A link keeps its own."""
    return _whole(folder).name


def names_apart(paths: Sequence[Path]) -> list[str]:
    """What folders or files are called beside each other: by name, with as much of the path before it as differs."""
    whole = [_whole(path) for path in paths]
    return [_apart(path, set(whole) - {path}) for path in whole]


def _apart(path: Path, others: Set[Path]) -> str:
    for length in range(1, len(path.parts)):
        end = path.parts[-length:]
        if all(other.parts[-length:] != end for other in others):
            return Path(*end).as_posix()
    return path.as_posix()


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keeps other processes off a run folder while this one works on it.

    Raises:
        LockedError: another process holds it.
        InputError: the folder cannot be written to.
    """
    with ExitStack() as stack:
        with writing(folder, "is no folder that can be written to"):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(lock_file(folder / ".lock"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"another process is working on {folder}", hint="wait for it, or take another run"
            ) from error
        yield
