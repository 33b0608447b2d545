"""What every target is: it says whether it can run here, checks a network against its limits, and compiles it.

A new target is one file with a class of this shape and one line under the entry-point group `kdsnn.targets`;
docs/add-a-target.md shows one whole.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from kdsnn.errors import DoesNotFitError, InputError, NetworkError, TargetUnavailableError, UsageError
from kdsnn.network import Network
from kdsnn.network.counters import Counts
from kdsnn.network.overflow import overflows

__all__ = [
    "Availability",
    "Program",
    "Progress",
    "Record",
    "RunResult",
    "Target",
    "Violation",
    "check_images",
    "ensure_fits",
    "ensure_runnable",
    "load_target",
    "overflow_violations",
    "predict",
    "probe_all",
    "target_names",
]

ENTRY_POINT_GROUP = "kdsnn.targets"
Record = Literal["output", "all"]
Progress = Callable[[int], None]  # called now and then with the number of images done
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Availability:
    """Whether a target can run here; if not, why and what to do."""

    available: bool
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Violation:
    """One limit that a network exceeds: where, and what is needed against what is there."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class RunResult:
    """What a target computed.

    Attributes:
        target: name of the target.
        fingerprint: of the network that ran.
        predictions: `(N,)` int64; the class with the highest score, the lowest on a tie.
        spikes: for each recorded population, `(N, T, *shape)` uint8 of zeros and ones. The output always.
        counts: counted by the target, in the windows in which each population worked on each image.
        wall_s: seconds that the run took, compilation not included.
        potentials: where the output is an integrator, its potential after the last step, `(N, *shape)` int32 (64 to a
            weight unit); else None.
        versions: of what computed it, such as `{"numpy": "2.4.6"}`.
        notes: further figures of this target, such as seconds of set-up.
    """

    target: str
    fingerprint: str
    predictions: npt.NDArray[np.int64]
    spikes: Mapping[str, npt.NDArray[np.uint8]]
    counts: Counts
    wall_s: float
    potentials: npt.NDArray[np.int32] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)


class Program(Protocol):
    """A network made ready to run on a target."""

    def run(
        self,
        images: Images,
        *,
        record: Record = "output",
        time_limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """The spikes and counts of images `(N, C, H, W)` uint8.

        Raises:
            InputError: the images do not fit the network.
            TimedOutError: it took longer than `time_limit_s`.
            TargetUnavailableError: the target was lost while it ran.
        """
        ...


class Target(Protocol):
    """A machine that runs integer networks."""

    name: str
    description: str

    def probe(self) -> Availability:
        """Whether it can run here. Never raises."""
        ...

    def check(self, network: Network) -> list[Violation]:
        """All limits of this target that the network exceeds; none when it fits."""
        ...

    def compile(self, network: Network) -> Program:
        """The network, ready to run. Call `ensure_runnable` first."""
        ...


def predict(
    output_spikes: npt.NDArray[np.uint8], potentials: npt.NDArray[np.int32] | None = None
) -> npt.NDArray[np.int64]:
    """The class with the highest score for each image, the lowest on a tie.

    Args:
        output_spikes: `(N, T, *shape)`; the score is their sum over T,
        potentials: `(N, *shape)`, or, where there are any, these.
    """
    scores = output_spikes.sum(axis=1, dtype=np.int64) if potentials is None else potentials
    winners: npt.NDArray[np.int64] = scores.reshape(len(scores), -1).argmax(axis=1)
    return winners


def check_images(network: Network, images: npt.NDArray[np.uint8]) -> None:
    """Raises InputError unless the images are `(N, C, H, W)` uint8 of the network's input shape, one at least."""
    if images.dtype != np.uint8:
        raise InputError(f"images must be uint8, not {images.dtype}", hint="pass raw pixels from 0 to 255")
    if images.shape[1:] != network.input.shape or len(images) == 0:
        raise InputError(f"images have shape {images.shape}; this network takes (N, {str(network.input.shape)[1:]}")


def overflow_violations(network: Network) -> list[Violation]:
    """Populations that could leave the range of the hardware's state."""
    return [Violation(name, what) for name, what in overflows(network).items()]


def ensure_fits(target: Target, network: Network) -> None:
    """Raises unless the network is an integer network that fits the target."""
    if not network.integer:
        raise NetworkError("targets run integer networks, and this one is float", hint="run kdsnn quantize first")
    violations = target.check(network)
    if violations:
        raise DoesNotFitError(
            f"network {network.name!r} does not fit target {target.name!r}", problems=[str(v) for v in violations]
        )


def ensure_runnable(target: Target, network: Network) -> None:
    """Raises unless the network is an integer network that fits the target, and the target can run here."""
    ensure_fits(target, network)
    availability = target.probe()
    if not availability.available:
        raise TargetUnavailableError(
            f"target {target.name!r} is not available: {availability.detail}", hint=availability.hint
        )


def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name in found and found[entry.name].value != entry.value:
            raise UsageError(
                f"two installed packages register the target {entry.name!r}: {found[entry.name].value}, {entry.value}",
                hint="uninstall one of them",
            )
        found[entry.name] = entry
    return found


def target_names() -> list[str]:
    """Names of all registered targets."""
    return sorted(_entry_points())


def load_target(name: str, options: Mapping[str, str] | None = None) -> Target:
    """The registered target of that name.

    Args:
        name: as `target_names` lists them.
        options: arguments of its constructor, as text: `{"device": "cpu"}`, `{"stock": "true"}`.

    Raises:
        UsageError: there is none, or it has no such option; the message names those there are.
        TargetUnavailableError: its package cannot be imported.
    """
    registered = _entry_points()
    if name not in registered:
        close = difflib.get_close_matches(name, registered, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"targets are: {', '.join(sorted(registered))}"
        raise UsageError(f"there is no target {name!r}", hint=hint)
    try:
        kind = registered[name].load()
    except Exception as error:
        raise TargetUnavailableError(
            f"target {name!r} cannot be loaded from {registered[name].value}: {type(error).__name__}: {error}"
        ) from error
    target: Target = kind(**_arguments(name, kind, options or {}))
    return target


def _arguments(name: str, kind: Any, options: Mapping[str, str]) -> dict[str, Any]:
    known = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {}
    for key, text in options.items():
        if key not in known:
            there = f"its options are: {', '.join(known)}" if known else "it has none"
            raise UsageError(f"target {name!r} has no option {key!r}", hint=there)
        default = known[key].default
        if isinstance(default, bool):
            if text.lower() not in ("true", "false"):
                raise UsageError(f"option {key!r} of target {name!r} is true or false, not {text!r}")
            arguments[key] = text.lower() == "true"
        else:
            try:
                arguments[key] = text if isinstance(default, str) else type(default)(text)
            except ValueError as error:
                kind_of = type(default).__name__
                raise UsageError(f"option {key!r} of target {name!r} is of type {kind_of}, not {text!r}") from error
    return arguments


def probe_all() -> dict[str, Availability]:
    """Whether each registered target can run here. Never raises on a broken plug-in."""
    found = {}
    for name in target_names():
        try:
            found[name] = load_target(name).probe()
        except TargetUnavailableError as error:
            found[name] = Availability(False, error.message)
        except Exception as error:  # noqa: BLE001  a plug-in may raise anything
            found[name] = Availability(False, f"its probe raised {type(error).__name__}: {error}")
    return found
