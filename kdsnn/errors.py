"""Every error that kdsnn raises on purpose, and the exit code that the command line gives it.

    KdsnnError                    1   a bug of ours
    ├── UsageError                2   the command was called wrongly
    ├── InputError                3   a file, an image, a recipe or a network is wrong
    │   ├── NetworkError              a network breaks a rule of `kdsnn.network`
    │   ├── LockedError               another process works on a run folder
    │   ├── LoweringError             a model holds something that cannot be lowered
    │   └── RecipeError               a recipe is wrong
    ├── VerificationError         4   two machines did not compute the same
    │   └── ConformanceError          a target failed the conformance suite, at a stage
    ├── DoesNotFitError           5   the network exceeds a limit of the target
    ├── TargetUnavailableError    6   the target cannot run here, or was lost while it ran
    ├── PluginError               6   what an installed package registers cannot be imported
    ├── MissingExtraError         6   an optional package is not installed
    ├── PoolError                 6   the workers of a pool cannot be reached, do not fit, or were lost
    └── TimedOutError             7   the target did not answer within its time limit

A message says what is wrong and where; `hint` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConformanceError",
    "DoesNotFitError",
    "InputError",
    "KdsnnError",
    "LockedError",
    "LoweringError",
    "MissingExtraError",
    "NetworkError",
    "PluginError",
    "PoolError",
    "RecipeError",
    "TargetUnavailableError",
    "TimedOutError",
    "UsageError",
    "VerificationError",
    "install_command",
]


class KdsnnError(Exception):
    """Base of every error that kdsnn raises on purpose.

    Args:
        message: what is wrong, and where.
        hint: what to do about it.
        problems: single findings, where there are several; shown one a line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class UsageError(KdsnnError):
    """The command was called wrongly."""

    exit_code = 2


class InputError(KdsnnError):
    """A file, an image, a recipe or a network is wrong."""

    exit_code = 3


class NetworkError(InputError):
    """A network breaks a rule of `kdsnn.network`."""


class LockedError(InputError):
    """Another process works on a run folder."""


class LoweringError(InputError):
    """A model holds something that cannot be lowered to populations and projections."""


class RecipeError(InputError):
    """A recipe is wrong."""


class VerificationError(KdsnnError):
    """Two machines did not compute the same spikes or the same counts."""

    exit_code = 4


class ConformanceError(VerificationError):
    """A target failed the conformance suite.

    Args:
        stage: at which, as `kdsnn.testing.STAGES` has them.
        message: what is wrong, and where; the stage stands before it.
        hint: what to do about it.
        problems: single findings.
    """

    def __init__(self, stage: str, message: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(f"stage {stage!r}: {message}", hint=hint, problems=problems)
        self.args = (stage, message)  # what pickle makes it from again, on its way from another process
        self.stage = stage


class DoesNotFitError(KdsnnError):
    """The network exceeds a limit of the target."""

    exit_code = 5


class TargetUnavailableError(KdsnnError):
    """The target cannot run here, or was lost while it ran."""

    exit_code = 6


class PluginError(KdsnnError):
    """What an installed package registers cannot be imported, or used."""

    exit_code = 6


def install_command(extra: str) -> str:
    """What to type for an extra of kdsnn."""
    return f"pip install 'kdsnn[{extra}]'"


class MissingExtraError(KdsnnError):
    """An optional package is not installed.

    Args:
        what: the thing that was asked for.
        extra: the extra of kdsnn that installs it.
    """

    exit_code = 6

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed", hint=f"install it with: {install_command(extra)}")
        self.args = (what, extra)  # what pickle makes it from again, on its way from another process


class PoolError(KdsnnError):
    """The workers of a pool cannot be reached, do not fit this kdsnn, or were lost while they worked."""

    exit_code = 6


class TimedOutError(KdsnnError):
    """The target did not answer within its time limit."""

    exit_code = 7
