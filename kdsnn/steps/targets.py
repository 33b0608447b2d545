"""The target that a step is asked for: by its name, with options, or as it is."""

from __future__ import annotations

from collections.abc import Mapping

from kdsnn.targets.base import Target
from kdsnn.targets.registry import load_target

__all__ = ["target_of"]


def target_of(target: str | Target, options: Mapping[str, object]) -> Target:
    """A target that is made already, or the one of that name.

    Args:
        target: either.
        options: of one that is named, such as `lanes=4`.

    Raises:
        UsageError: there is none of that name, or an option is wrong.
    """
    if isinstance(target, Target):
        return target
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()}
    return load_target(target, texts)
