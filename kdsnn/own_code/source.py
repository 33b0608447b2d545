"""The files that a user's function needs: its own, and those beside it that these import. Nothing is executed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from kdsnn.errors import InputError

__all__ = ["INSTALLED", "TORCHVISION", "digest", "files_of", "source_files"]

TORCHVISION = "torchvision"  # its models are named by it, and are no user's code

LARGEST = 2**24  # bytes of all files together
INSTALLED = frozenset({"kdsnn", "numpy", "snntorch", "torch", "torchvision", *sys.stdlib_module_names})


def source_files(path: Path) -> dict[str, bytes]:
    """The content of a Python file and of all that it imports from its own folder, by path from there; itself first.

    Modules and packages that lie beside the file count, and what they import from there; installed ones do not.

    Raises:
        InputError: a file cannot be read, or is no Python; or they are more than 16 MiB.
    """
    found: dict[str, bytes] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop(0)
        name = file.relative_to(path.parent).as_posix()
        if name in found:
            continue
        found[name] = _read(file)
        if sum(map(len, found.values())) > LARGEST:
            raise InputError(f"{path} imports more than {LARGEST >> 20} MiB from its folder")
        for module in sorted(set(_imported(found[name], file))):
            waiting += _beside(path.parent, module)
    return found


def files_of(reference: str) -> dict[str, bytes]:
    """What a reference is known by: the files it needs, or the one of an installed module. Nothing of it is executed.

    Raises:
        InputError: there is no such file or module.
    """
    where = reference.rpartition(":")[0]
    if where == TORCHVISION:
        return {}
    if where.endswith(".py"):
        return source_files(Path(where).expanduser().absolute())
    try:
        spec = importlib.util.find_spec(where)  # imports the packages above it
    except (ImportError, ValueError) as error:
        raise InputError(f"{where} cannot be imported: {error}") from error
    if spec is None:
        raise InputError(f"there is no module {where}", hint="for a file: PATH/TO/FILE.py:FUNCTION")
    file = Path(spec.origin or "")
    return {file.name: _read(file)} if file.is_file() else {}


def digest(files: Mapping[str, bytes]) -> str:
    """The sha256 of files: of their names and contents."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\n{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    return whole.hexdigest()


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from error


def _imported(source: bytes, file: Path) -> Iterator[str]:
    """The first part of the name of each module that is imported anywhere in a file."""
    try:
        tree = ast.parse(source, str(file))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"{file} is no Python: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _beside(folder: Path, module: str) -> list[Path]:
    """The files of a module of a folder, a package whole; none of what is installed, whatever lies there too."""
    if module in INSTALLED:
        return []
    package = folder / module
    if (package / "__init__.py").is_file():
        return sorted(package.rglob("*.py"))
    return [file] if (file := folder / f"{module}.py").is_file() else []
