"""Registries: the one list of the things of a kind, ours and those that installed packages add by an entry point.

Ours stand in a mapping from name to thing, or to `"module:attribute"` where it shall be imported only when it is asked
for. Another package adds one in its `pyproject.toml`:

    [project.entry-points."kdsnn.datasets"]
    braille = "my_package.braille:load"
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from kdsnn.errors import MissingExtraError, PluginError, UsageError
from kdsnn.extras import naming_extras

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

__all__ = ["Registry", "nearest", "suggestion"]

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a wrong one, if any is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return close[0] if close else None


def suggestion(name: str, known: Iterable[str], plural: str) -> str:
    """What to do about a name that does not exist: the nearest that does, or all of them.

    Args:
        name: the wrong one.
        known: the right ones.
        plural: what they are, such as `data sets`.
    """
    there = list(known)
    near = nearest(name, there)
    return f"did you mean {near!r}?" if near else f"{plural} are: {', '.join(there)}"


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The things of one kind, by name.

    Attributes:
        singular: what one is, for messages: `data set`.
        plural: `data sets`.
        own: those of kdsnn.
        group: of the entry points by which installed packages add theirs; none where they cannot.
    """

    singular: str
    plural: str
    own: Mapping[str, T | str] = field(default_factory=dict)
    group: str | None = None

    def names(self) -> list[str]:
        """All names, in order.

        Raises:
            UsageError: two packages register the same name.
        """
        return sorted({*self.own, *self._added()})

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self._added()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            UsageError: there is none; with the nearest name.
            MissingExtraError: it needs an optional package that is not installed.
            PluginError: its package cannot be imported.
        """
        value: Any = self.own[name] if name in self.own else self._added().get(name)
        if value is None:
            raise UsageError(f"there is no {self.singular} {name!r}", hint=self.suggestion(name))
        if name in self.own and not isinstance(value, str):
            return cast(T, value)
        where = value if isinstance(value, str) else value.value
        try:  # whatever class an entry point has: where importlib_metadata is imported, it is of that package
            with naming_extras():
                return cast(T, _imported(value) if isinstance(value, str) else value.load())
        except MissingExtraError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.singular} {name!r} cannot be loaded from {where}: {type(error).__name__}: {error}"
            ) from error

    def suggestion(self, name: str) -> str:
        """What to do about a name that is not here; see `suggestion`."""
        return suggestion(name, self.names(), self.plural)

    def problem(self, name: str) -> str | None:
        """Why a name is wrong, with what to do, or None where it is right."""
        return None if name in self else f"there is no {self.singular} {name!r}; {self.suggestion(name)}"

    def _added(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in _entry_points(self.group) if self.group else ():
            other = self.own.get(entry.name, found.get(entry.name))
            if other is not None and entry.value != getattr(other, "value", other):
                raise UsageError(
                    f"two installed packages register the {self.singular} {entry.name!r}: "
                    f"{getattr(other, 'value', 'kdsnn')}, {entry.value}",
                    hint="uninstall one of them",
                )
            found[entry.name] = entry
        return found


def _entry_points(group: str) -> EntryPoints:
    from importlib.metadata import entry_points  # a tenth of the time of `kdsnn --help`, which asks for none

    return entry_points(group=group)


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
