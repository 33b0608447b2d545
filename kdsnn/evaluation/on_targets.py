"""Runs a network on targets and compares each with the reference, in chunks of images that the memory can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, KdsnnError, TimedOutError
from kdsnn.evaluation.comparison import check_same
from kdsnn.evaluation.in_time import Curve
from kdsnn.evaluation.result import Evaluation, Part, joined
from kdsnn.evaluation.steps import steps_of
from kdsnn.network import Network
from kdsnn.targets.base import Program, Progress, RunResult, Target, check_images
from kdsnn.targets.fitting import ensure_runnable
from kdsnn.targets.reference import ReferenceProgram, ReferenceTarget

__all__ = ["check_labels", "chunks", "evaluate", "evaluate_each", "is_reference", "most_images", "run_chunk"]

MOST_SPIKES = 2**27  # neurons times steps times images whose spikes are held at once, a byte each, and the reference's
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def evaluate(
    network: Network,
    target: Target,
    images: Images,
    labels: Labels | None = None,
    *,
    compare: bool = True,
    curve: Curve | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Runs the images on a target, and the same on the reference.

    Args:
        network: an integer network.
        target: where to run it. The reference is not compared with itself.
        images: `(N, *image_shape)` uint8.
        labels: `(N,)`, for the accuracy.
        compare: whether to compare all populations with the reference.
        curve: asks for the answers after each step, and for what stopping early saves.
        time_limit_s: for the target's work as a whole.
        progress: called with the number of images done.

    Raises:
        VerificationError: the first spike or count in which the target differs from the reference.
        DoesNotFitError, TargetUnavailableError, TimedOutError: as the target says.
        InputError: the images or labels do not fit the network.
    """
    (outcome,) = evaluate_each(
        network, [target], images, labels, compare=compare, curve=curve, time_limit_s=time_limit_s, progress=progress
    )
    if isinstance(outcome, KdsnnError):
        raise outcome
    return outcome


def evaluate_each(
    network: Network,
    targets: Sequence[Target],
    images: Images,
    labels: Labels | None = None,
    *,
    compare: bool = True,
    curve: Curve | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> list[Evaluation | KdsnnError]:
    """Runs the images on several targets, and once on the reference; see `evaluate`.

    The reference computes while the targets are made ready, and nothing beside a target that runs: its time is its own.

    Args:
        network: an integer network.
        targets: where to run it.
        images: `(N, *image_shape)` uint8.
        labels: `(N,)`.
        compare: whether to compare with the reference.
        curve: likewise.
        time_limit_s: for each target's work.
        progress: called with the number of images done, of all targets together.

    Returns:
        For each target what came out, or why nothing did: a VerificationError, or that it cannot run the network here.

    Raises:
        InputError: the images or labels do not fit the network.
    """
    check_images(network, images)
    check_labels(network, labels, len(images))
    reference = ReferenceProgram(network) if compare and any(not is_reference(t) for t in targets) else None
    tasks = [_Task(target, network, time_limit_s, by_step=curve is not None) for target in targets]
    with ThreadPoolExecutor(max_workers=1) as beside:
        for task in tasks:
            task.make_ready(beside)
        for begin, chunk in chunks(images, most_images(network)):
            wanted = reference.run(chunk, record="all") if reference and any(t.open for t in tasks) else None
            for number, task in enumerate(tasks):
                done = number * len(images) + begin
                task.run(chunk, wanted, begin, None if progress is None else _shifted(progress, done))
    margins = () if curve is None else curve.margins
    return [task.failure or joined(network, task.target.name, task.parts, labels, margins=margins) for task in tasks]


class _Task:
    """A target at work: its program, what is left of its time, what it did so far, or why it stopped."""

    def __init__(self, target: Target, network: Network, time_limit_s: float | None, *, by_step: bool) -> None:
        self.target, self.network, self.left, self.by_step = target, network, time_limit_s, by_step
        self.program: Future[Program] | None = None
        self.parts: list[Part] = []
        self.failure: KdsnnError | None = None

    def make_ready(self, beside: ThreadPoolExecutor) -> None:
        """Has the network compiled in another thread, if it can run there at all."""
        try:
            ensure_runnable(self.target, self.network)
        except KdsnnError as error:
            self.failure = error
        else:
            self.program = beside.submit(self.target.compile, self.network)

    @property
    def open(self) -> bool:
        """Whether it still needs something to be compared with."""
        return self.failure is None and not is_reference(self.target)

    def run(self, chunk: Images, wanted: RunResult | None, first_image: int, progress: Progress | None) -> None:
        """Runs a chunk, unless an earlier one failed."""
        if self.failure is not None or self.program is None:
            return
        try:
            if self.left is not None and self.left <= 0:
                raise TimedOutError(f"target {self.target.name!r} passed its limit after {first_image} images")
            program = self.program.result()
            wanted = None if is_reference(self.target) else wanted
            part = run_chunk(
                self.target.name, program, wanted, chunk, first_image, self.left, progress, by_step=self.by_step
            )
        except KdsnnError as error:
            self.failure = error
            return
        self.parts.append(part)
        if self.left is not None:
            self.left -= part.result.wall_s


def run_chunk(
    target: str,
    program: Program,
    wanted: RunResult | None,
    images: Images,
    first_image: int,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    *,
    by_step: bool = False,
) -> Part:
    """Runs a chunk on a target, and compares it with what the reference computed, where that is given.

    With `by_step`, what was answered and counted step by step is kept, too.
    """
    result = program.run(images, record="all", time_limit_s=time_limit_s, progress=progress)
    compared: tuple[str, ...] = ()
    if wanted is not None:
        check_same(result, wanted, target=target, first_image=first_image)
        compared = tuple(wanted.spikes)
    totals = {n: s.reshape(*s.shape[:2], -1).sum(axis=1, dtype=np.uint16) for n, s in result.spikes.items()}
    output = program.network.output.name
    steps = steps_of(program.network, images, result) if by_step else None
    return Part(replace(result, spikes={output: result.spikes[output]}), totals, compared, steps)


def check_labels(network: Network, labels: Labels | None, samples: int) -> None:
    """Raises InputError unless there are labels for so many images, and all are classes of the network."""
    if labels is None:
        return
    if labels.shape != (samples,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels must be {samples} integers, not {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(network.labels):
        raise InputError(f"labels reach from {labels.min()} to {labels.max()}; there are {len(network.labels)} classes")


def most_images(network: Network) -> int:
    """As many images at once as the memory allows: a target may have to start anew for each chunk."""
    held = network.spiking if network.static else network.populations
    return max(1, MOST_SPIKES // (network.timesteps * sum(p.neurons for p in held)))


def chunks(images: Images, size: int) -> Iterator[tuple[int, Images]]:
    """The images in parts of at most this size, each with the number of its first."""
    for begin in range(0, len(images), size):
        yield begin, images[begin : begin + size]


def is_reference(target: Target) -> bool:
    """Whether a target is the reference itself, with which nothing is proven by comparing it."""
    return type(target) is ReferenceTarget


def _shifted(progress: Progress, begin: int) -> Callable[[int], None]:
    return lambda done: progress(begin + done)
