"""What every target is: it says whether it can run here, checks a network against its limits, and compiles it.

A new target is one file with a subclass of `Target` and one of `Program`, and one line in `kdsnn/choices.py`, or in
another package an entry point of the group `kdsnn.targets`; docs/add-a-target.md shows one whole.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError
from kdsnn.network import Network
from kdsnn.network.counters import Counts

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Availability",
    "Computed",
    "Files",
    "Images",
    "Program",
    "Progress",
    "Record",
    "RunResult",
    "Target",
    "Teacher",
    "Violation",
    "check_images",
    "predict",
]

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
class Computed:
    """The result that a target computes, before predictions and time are added.

    Attributes:
        spikes: for each population that is recorded, `(N, T, *shape)` uint8 of zeros and ones.
        counts: counted by the target, in the windows in which each population worked on each image.
        potentials: where the output is an integrator, its potential after the last step, `(N, *shape)` int32 (64 to a
            weight unit); else None.
        versions: of what computed it, such as `{"numpy": "2.4.6"}`.
        notes: further figures of this target, such as seconds of set-up. Where it simulates its energy, the joules of
            each part are `energy_<part>_j`, all images' latencies and seconds are `latency_s` and `simulated_s`, and
            the watts that its chips take while they do nothing are `static_w`.
    """

    spikes: Mapping[str, npt.NDArray[np.uint8]]
    counts: Counts
    potentials: npt.NDArray[np.int32] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult(Computed):
    """The result of a run: spikes and counts as computed, predictions and wall time.

    Attributes:
        fingerprint: of the network that ran.
        predictions: `(N,)` int64; the class with the highest score, the lowest on a tie.
        wall_s: seconds that the run took, compilation not included.
    """

    fingerprint: str = field(kw_only=True)
    predictions: npt.NDArray[np.int64] = field(kw_only=True)
    wall_s: float = field(kw_only=True)


class Program(ABC):
    """A network compiled for a target. Subclasses implement `compute`.

    Args:
        network: the integer network to run.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def run(
        self,
        images: Images,
        *,
        record: Record = "output",
        time_limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> RunResult:
        """Runs the network on images and returns spikes, counts and predictions.

        Args:
            images: `(N, *image_shape)` uint8.
            record: which populations' spikes are kept: those of the output, or of all.
            time_limit_s: seconds after which the run is given up; None sets no limit.
            progress: called with the number of images done.

        Raises:
            InputError: the images do not fit the network.
            TimedOutError: it took longer than `time_limit_s`.
            TargetUnavailableError: the target was lost while it ran.
        """
        check_images(self.network, images)
        output = self.network.output
        recorded = [p.name for p in self.network.spiking if record == "all" or p is output]
        start = time.perf_counter()
        made = self.compute(images, recorded, time_limit_s, progress)
        return RunResult(
            spikes=made.spikes,
            counts=made.counts,
            potentials=made.potentials,
            versions=made.versions,
            notes=made.notes,
            fingerprint=self.network.fingerprint(),
            predictions=predict(made.spikes[output.name], made.potentials),
            wall_s=time.perf_counter() - start,
        )

    @abstractmethod
    def compute(
        self, images: Images, recorded: Sequence[str], time_limit_s: float | None, progress: Progress | None
    ) -> Computed:
        """Computes the spikes and counts of images that were checked already; `run` calls it.

        Args:
            images: `(N, *image_shape)` uint8, one at least.
            recorded: names of the populations whose spikes are kept; the output is always among them.
            time_limit_s: seconds after which a TimedOutError is raised; None sets no limit.
            progress: to be called with the number of images done.
        """


@dataclass(frozen=True)
class Teacher:
    """The float teacher of the run that a bundle is made of.

    Attributes:
        model: name of it.
        load: gives the module, from images in [0, 1] to logits, in eval mode. Raises InputError where its weights are
            not there any more.
    """

    model: str
    load: Callable[[], nn.Module]


@dataclass(frozen=True)
class Files:
    """The files that a target wrote: their paths, and further entries for the bundle's manifest, by name."""

    paths: Sequence[Path] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


class Target(ABC):
    """A machine that runs integer networks.

    Attributes:
        name: the name that it is registered by.
        description: the machine in a few words, for lists.
        features: names in `kdsnn.network.features.FEATURES` that it supports; a network that uses another is refused.
    """

    name: str
    description: str
    features: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def probe(self) -> Availability:
        """Whether the target can run on this machine. Never raises."""

    @abstractmethod
    def check(self, network: Network) -> list[Violation]:
        """Every limit of this target that the network exceeds, other than features; an empty list if it fits."""

    @abstractmethod
    def compile(self, network: Network) -> Program:
        """Makes a program of the network. Implementations first call `kdsnn.targets.fitting.ensure_runnable` first."""

    @property
    def settings(self) -> dict[str, str]:
        """The target's options and their values, which are kept with every result."""
        return {name: str(value) for name, value in vars(self).items() if not name.startswith("_")}

    def write_files(self, network: Network, images: Images, folder: Path, teacher: Teacher | None) -> Files:  # noqa: ARG002
        """Writes and checks the files of a bundle beside `model.nir`. Writes nothing unless a subclass overrides it.

        Args:
            network: a network that fits the target.
            images: images to check the files with, `(N, *image_shape)` uint8.
            folder: where to write; it exists.
            teacher: the float teacher of the network's run, if there is one.
        """
        return Files()


def predict(output_spikes: npt.NDArray[np.uint8], potentials: npt.NDArray[Any] | None = None) -> npt.NDArray[np.int64]:
    """The class with the highest score for each image, the lowest on a tie.

    Args:
        output_spikes: `(N, T, *shape)`; the score is their sum over T,
        potentials: `(N, *shape)`, or, where there are any, these.
    """
    scores = output_spikes.sum(axis=1, dtype=np.int64) if potentials is None else potentials
    winners: npt.NDArray[np.int64] = scores.reshape(len(scores), -1).argmax(axis=1)
    return winners


def check_images(network: Network, images: npt.NDArray[np.uint8]) -> None:
    """Raises InputError unless the images are `(N, *image_shape)` uint8, one at least."""
    if images.dtype != np.uint8:
        raise InputError(f"images must be uint8, not {images.dtype}", hint="pass raw pixels from 0 to 255")
    if images.shape[1:] != network.image_shape or len(images) == 0:
        wanted = ", ".join(map(str, network.image_shape))
        frames = "" if network.static else f": a frame for each of its {network.timesteps} time steps"
        raise InputError(f"images have shape {images.shape}; this network takes (N, {wanted}){frames}")
