"""Targets by name, with their options: those in `kdsnn.choices`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from kdsnn.choices import QUICK_TARGET, TARGETS
from kdsnn.errors import KdsnnError, PluginError, UsageError
from kdsnn.network import Network
from kdsnn.targets.base import Availability, Target

__all__ = ["load_target", "probe_all", "quick_target", "target_names"]


def target_names() -> list[str]:
    """Names of all registered targets."""
    return TARGETS.names()


def load_target(name: str, options: Mapping[str, str] | None = None) -> Target:
    """The registered target of that name.

    Args:
        name: as `target_names` lists them.
        options: arguments of its constructor, as text: `{"device": "cpu"}`, `{"stock": "true"}`.

    Raises:
        UsageError: there is none, or an option is wrong; the message names those there are, and all that are wrong.
        PluginError: its package cannot be imported, or it has another name than it is registered by.
    """
    kind = TARGETS.get(name)
    target: Target = kind(**_arguments(name, kind, options or {}))
    own = getattr(target, "name", None)
    if own != name:
        raise PluginError(
            f"what is registered as target {name!r} calls itself {own!r}, and results would be kept as that one's",
            hint=f"let its class say name = {name!r}",
        )
    return target


def quick_target(network: Network) -> Target:
    """What computes where it does not matter which: `QUICK_TARGET`, or the reference where that lacks a feature."""
    quick = load_target(QUICK_TARGET)
    return quick if network.features <= quick.features else load_target("reference")


def probe_all() -> dict[str, Availability]:
    """Whether each registered target can run here. Never raises on a broken plug-in."""
    return {name: _probe(name) for name in target_names()}


def _probe(name: str) -> Availability:
    try:
        return load_target(name).probe()
    except KdsnnError as error:
        return Availability(False, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  a plug-in may raise anything
        return Availability(False, f"its probe raised {type(error).__name__}: {error}")


def _arguments(name: str, kind: Callable[..., Target], options: Mapping[str, str]) -> dict[str, Any]:
    """The options as the constructor's types, read by pydantic; a parameter without a type takes text."""
    parameters = inspect.signature(kind).parameters
    hints = get_type_hints(kind.__init__ if inspect.isclass(kind) else kind)
    fields: dict[str, Any] = {
        key: (hints.get(key, str), ... if parameter.default is parameter.empty else parameter.default)
        for key, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    there = f"its options are: {', '.join(fields)}" if fields else "it has none"
    model = create_model("Options", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
    try:
        read = model.model_validate(dict(options))
    except ValidationError as error:
        problems = list(_problems(name, error))
        raise UsageError(
            problems[0] if len(problems) == 1 else f"options of target {name!r} are wrong",
            problems=problems if len(problems) > 1 else (),
            hint=there,
        ) from error
    return {key: getattr(read, key) for key in options}


def _problems(name: str, error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = problem["loc"][0]
        if problem["type"] == "extra_forbidden":
            yield f"target {name!r} has no option {key!r}"
        elif problem["type"] == "missing":
            yield f"target {name!r} needs the option {key!r}"
        else:
            said = problem["msg"][0].lower() + problem["msg"][1:]
            yield f"option {key!r} of target {name!r}: {said}, not {problem['input']!r}"
