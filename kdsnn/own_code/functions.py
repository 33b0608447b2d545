"""A user's function by its reference: `my_net.py:make`, or `my_package.nets:make` of what is installed.

A file is loaded with its folder importable, as Python runs a script, and leaves nothing else behind: two runs with
other versions of the same file can be loaded side by side.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from kdsnn.errors import InputError, KdsnnError
from kdsnn.own_code.source import INSTALLED, digest, files_of
from kdsnn.registry import nearest

__all__ = ["OwnCode", "anchored", "is_reference", "load_own", "title_of"]


@dataclass(frozen=True, eq=False)
class OwnCode:
    """What a reference stands for.

    Attributes:
        reference: as it was written.
        value: the function, class or object.
        files: what it takes to load it elsewhere, by path from its folder, its own file first; of an installed module,
            its own file alone, by which a change is noticed.
        folder: where the files lie; None for an installed module.
    """

    reference: str
    value: Any
    files: Mapping[str, bytes]
    folder: Path | None

    @property
    def title(self) -> str:
        """The reference without the folders of its file."""
        return title_of(self.reference)

    @property
    def sha256(self) -> str:
        """Of the files."""
        return digest(self.files)

    def call(self, **offered: Any) -> Any:
        """What the function returns, called with those of the offered arguments that it names.

        Raises:
            InputError: it cannot be called so, or it fails.
        """
        if not callable(self.value):
            raise InputError(f"{self.title} is a {type(self.value).__name__}", hint="name a function or a class")
        try:
            parameters = inspect.signature(self.value).parameters.values()
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.title} cannot be called: {error}") from error
        free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = [p.name for p in parameters if p.default is p.empty and p.kind not in free]
        if missing := [name for name in needed if name not in offered]:
            raise InputError(
                f"{self.title} asks for {' and '.join(map(repr, missing))}",
                hint=f"a function without arguments is enough; it is given what it names of: {', '.join(offered)}",
            )
        given = {p.name: offered[p.name] for p in parameters if p.name in offered and p.kind not in free}
        with _failures(self.title, "failed"), _importable(self.folder, self.files):
            return self.value(**given)


def is_reference(name: str) -> bool:
    """Whether a name is that of a user's own function: `FILE.py:FUNCTION` or `MODULE:FUNCTION`."""
    where, colon, function = name.rpartition(":")
    named = where.endswith(".py") or all(part.isidentifier() for part in where.split("."))
    return bool(colon) and named and function.isidentifier()


def anchored(reference: str, folder: Path) -> str:
    """The same reference with the path of its file, where it has one, taken from a folder."""
    where, colon, function = reference.rpartition(":")
    return (
        f"{(folder / Path(where).expanduser()).absolute()}:{function}" if colon and where.endswith(".py") else reference
    )


def title_of(name: str) -> str:
    """A reference without the folders of its file; any other name as it is."""
    where, colon, function = name.rpartition(":")
    return f"{Path(where).name}:{function}" if colon and where.endswith(".py") else name


def load_own(reference: str) -> OwnCode:
    """What a reference stands for. Its code is executed: name your own, or that of someone you trust.

    Raises:
        InputError: there is no such file, module or function, or its code fails.
    """
    where, _, name = reference.rpartition(":")
    if not is_reference(reference):
        raise InputError(f"{reference!r} is neither FILE.py:FUNCTION nor MODULE:FUNCTION")
    if where.endswith(".py"):
        return _of_file(reference, Path(where).expanduser().absolute(), name, files_of(reference))
    files = files_of(reference)
    with _failures(where, "cannot be imported"):
        module = importlib.import_module(where)
    return OwnCode(reference, _member(module, name, reference), files, None)


def _of_file(reference: str, path: Path, name: str, files: Mapping[str, bytes]) -> OwnCode:
    key = f"kdsnn_own_{digest(files)[:16]}_{path.stem}"
    module = sys.modules.get(key)
    if module is None or module.__file__ != str(path):
        module = ModuleType(key)
        module.__file__ = str(path)
        sys.modules[key] = module  # dataclasses look their module up there
        try:
            with _failures(str(path), "cannot be loaded"), _importable(path.parent, files):
                exec(compile(files[path.name], str(path), "exec"), module.__dict__)  # noqa: S102  what the user named
        except BaseException:
            del sys.modules[key]
            raise
    return OwnCode(reference, _member(module, name, reference), files, path.parent)


def _member(module: ModuleType, name: str, reference: str) -> Any:
    if not hasattr(module, name):
        near = nearest(name, [n for n, value in vars(module).items() if callable(value)])
        raise InputError(
            f"there is no {name!r} in {reference.rpartition(':')[0]}", hint=f"did you mean {near!r}?" if near else ""
        )
    return getattr(module, name)


@contextmanager
def _failures(what: str, how: str) -> Iterator[None]:
    """Whatever a user's code raises, as an error that names it."""
    try:
        yield
    except KdsnnError:
        raise
    except Exception as error:
        raise InputError(f"{what} {how}: {type(error).__name__}: {error}") from error


@contextmanager
def _importable(folder: Path | None, files: Collection[str]) -> Iterator[None]:
    """The modules beside a file can be imported, whatever else has their names; afterwards all is as it was."""
    if folder is None:
        yield
        return
    names = {file.partition("/")[0].removesuffix(".py") for file in files} - INSTALLED

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in names]

    hidden = {name: sys.modules.pop(name) for name in loaded()}
    wrote, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing is written beside the user's files
    finder = _Finder(folder, names)
    sys.meta_path.insert(0, finder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.dont_write_bytecode = wrote
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(hidden)


class _Finder(MetaPathFinder):
    """Finds some modules in one folder, and nothing else there: a file named torch hides no torch."""

    def __init__(self, folder: Path, names: Collection[str]) -> None:
        self.folder, self.names = folder, names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of the folder lies."""
        if path is not None or fullname not in self.names:
            return None
        return PathFinder.find_spec(fullname, [str(self.folder)], target)
