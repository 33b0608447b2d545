"""Running a network on a target and comparing it with the reference, spike for spike and count for count."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError, UsageError, VerificationError
from kdsnn.jobs.local_processes import Pool, completed, result_of
from kdsnn.network import Network
from kdsnn.network.counters import Counts, LayerCounts
from kdsnn.targets.base import Program, Progress, RunResult, Target, check_images, ensure_fits, ensure_runnable
from kdsnn.targets.reference import ReferenceTarget

__all__ = ["Evaluation", "check_same", "evaluate"]

SCHEMA = "kdsnn.evaluation/1"
HIGHEST = ("fill_steps", "lanes", "memory_mib", "peak_process_mib", "processes", "workers")
MOST_SPIKES = 2**27  # neurons times steps times images whose spikes are held at once, a byte each, and the reference's
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Evaluation:
    """What a target computed on a set of images, compared with the reference.

    Attributes:
        target: name.
        fingerprint: of the network.
        predictions: `(N,)`.
        accuracy: share of right predictions, or None without labels.
        counts: counted by the target.
        output_spikes: `(N, T, classes)` uint8.
        potentials: `(N, classes)` int32 of an output that integrates and never fires; else None.
        spike_totals: for each population, each neuron's spikes over T, `(N, neurons)` uint16.
        compared: populations whose spikes were compared with the reference, one by one; empty if none were.
        wall_s: seconds the target worked; with a pool, seconds until it had done everything, the comparison included.
        versions: of what computed it.
        notes: further figures of the target, summed over its runs; the highest of any run for those named in `HIGHEST`.
    """

    target: str
    fingerprint: str
    predictions: npt.NDArray[np.int64]
    accuracy: float | None
    counts: Counts
    output_spikes: npt.NDArray[np.uint8]
    potentials: npt.NDArray[np.int32] | None
    spike_totals: Mapping[str, npt.NDArray[np.uint16]]
    compared: tuple[str, ...]
    wall_s: float
    versions: Mapping[str, str]
    notes: Mapping[str, float]

    @property
    def samples(self) -> int:
        """Number of images."""
        return len(self.predictions)

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "schema": SCHEMA,
            "target": self.target,
            "fingerprint": self.fingerprint,
            "samples": self.samples,
            "timesteps": int(self.output_spikes.shape[1]),
            "accuracy": self.accuracy,
            "predictions": self.predictions.tolist(),
            "layers": [asdict(layer) for layer in self.counts.layers],
            "counts": self.counts.totals(),
            "matches_reference": bool(self.compared),
            "compared_populations": list(self.compared),
            "wall_s": self.wall_s,
            "samples_per_s": self.samples / self.wall_s,
            "versions": dict(self.versions),
            "notes": dict(self.notes),
        }

    def arrays(self) -> dict[str, Array]:
        """The arrays of `--dump`."""
        spikes = {f"spikes/{name}": totals for name, totals in self.spike_totals.items()}
        read = {} if self.potentials is None else {"potentials": self.potentials}
        return {"predictions": self.predictions, "output_spikes": self.output_spikes, **read, **spikes}


def evaluate(
    network: Network,
    target: Target,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None = None,
    *,
    compare: bool = True,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Runs the images on a target, and the same on the reference.

    With a pool, its workers each take a share of the images. But for times and notes the result is the same.

    Args:
        network: an integer network.
        target: where to run it.
        images: `(N, C, H, W)` uint8.
        labels: `(N,)`, for the accuracy.
        compare: whether to compare all populations with the reference.
        time_limit_s: for the target's work as a whole; with a pool, for everything.
        progress: called with the number of images done.
        pool: whose workers run it. The target must be there, and may be missing here.

    Raises:
        VerificationError: the first spike or count in which the target differs from the reference.
        DoesNotFitError, TargetUnavailableError, TimedOutError: as the target says.
        InputError: the images or labels do not fit the network.
        UsageError: the target cannot be sent to a pool.
        PoolError: the pool was lost.
    """
    check_images(network, images)
    _check_labels(network, labels, len(images))
    if pool is not None:
        return _evaluate_on(pool, network, target, images, labels, compare, time_limit_s, progress)
    ensure_runnable(target, network)
    program, reference = target.compile(network), ReferenceTarget().compile(network) if compare else None
    parts: list[_Part] = []
    left = time_limit_s
    for begin, chunk in _chunks(images, _most_images(network)):
        parts.append(_run_chunk(network, program, reference, chunk, begin, left, _shifted(progress, begin)))
        if left is not None:
            left = max(left - parts[-1].result.wall_s, 1e-3)
    return _joined(network, parts, labels, wall_s=sum(part.result.wall_s for part in parts))


@dataclass(frozen=True)
class _Part:
    """What is kept of a chunk of images.

    Attributes:
        result: with the spikes of the output only.
        totals: for each population, each neuron's spikes over T, `(N, neurons)` uint16.
        compared: populations that were compared with the reference.
    """

    result: RunResult
    totals: Mapping[str, npt.NDArray[np.uint16]]
    compared: tuple[str, ...]


def _run_chunk(
    network: Network,
    program: Program,
    reference: Program | None,
    images: npt.NDArray[np.uint8],
    first_image: int,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> _Part:
    """Runs a chunk on a target, and compares it with the reference, where there is one."""
    result = program.run(images, record="all", time_limit_s=time_limit_s, progress=progress)
    compared: tuple[str, ...] = ()
    if reference is not None:
        wanted = reference.run(images, record="all")
        check_same(result, wanted, first_image=first_image)
        compared = tuple(wanted.spikes)
    totals = {n: s.reshape(*s.shape[:2], -1).sum(axis=1, dtype=np.uint16) for n, s in result.spikes.items()}
    output = network.output.name
    return _Part(replace(result, spikes={output: result.spikes[output]}), totals, compared)


def _run_chunk_there(
    network: Network,
    target: Target,
    images: npt.NDArray[np.uint8],
    first_image: int,
    compare: bool,
    time_limit_s: float | None,
) -> _Part:
    """The same in a worker of a pool, which has to make everything ready first."""
    ensure_runnable(target, network)
    reference = ReferenceTarget().compile(network) if compare else None
    return _run_chunk(network, target.compile(network), reference, images, first_image, time_limit_s)


def _evaluate_on(
    pool: Pool,
    network: Network,
    target: Target,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None,
    compare: bool,
    time_limit_s: float | None,
    progress: Progress | None,
) -> Evaluation:
    """Shares the images out evenly, in no more chunks than the memory asks for: each starts the target anew."""
    ensure_fits(target, network)
    _check_sendable(target)
    begun, most = time.perf_counter(), _most_images(network)
    rounds = -(-len(images) // (pool.workers * most))
    size = -(-len(images) // (pool.workers * rounds))
    shared = pool.share(network)
    jobs = {
        pool.submit(_run_chunk_there, shared, target, chunk, begin, compare, time_limit_s): begin
        for begin, chunk in _chunks(images, size)
    }
    parts: dict[int, _Part] = {}
    try:
        for job in completed(pool, jobs, time_limit_s=time_limit_s):
            parts[jobs[job]] = result_of(job)
            if progress is not None:
                progress(sum(len(part.result.predictions) for part in parts.values()))
    finally:
        for job in jobs:
            job.cancel()
    in_order = [parts[begin] for begin in sorted(parts)]
    return _joined(network, in_order, labels, wall_s=time.perf_counter() - begun)


def _check_sendable(target: Target) -> None:
    try:
        pickle.dumps(target)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"target {target.name!r} cannot be sent to a pool: {error}", hint="run it without a pool"
        ) from error


def check_same(result: RunResult, wanted: RunResult, *, first_image: int = 0) -> None:
    """Raises VerificationError at the first spike or count in which a result differs from what was wanted."""
    who = f"target {result.target!r}"
    if result.fingerprint != wanted.fingerprint:
        raise VerificationError(f"{who} ran another network: {result.fingerprint[:16]}, not {wanted.fingerprint[:16]}")
    for name, train in wanted.spikes.items():
        if name not in result.spikes:
            raise VerificationError(f"{who} recorded no spikes of population {name!r}")
        other = result.spikes[name]
        if other.shape != train.shape:
            raise VerificationError(f"{who}: spikes of {name!r} have shape {other.shape}, not {train.shape}")
        if not np.array_equal(other, train):
            raise VerificationError(f"{who} {_first_difference(name, other, train, first_image)}")
    _check_potentials(who, result.potentials, wanted.potentials, first_image)
    if not np.array_equal(result.predictions, wanted.predictions):
        raise VerificationError(f"{who} predicts other classes from the same scores")
    _check_counts(who, result.counts, wanted.counts)


def _first_difference(name: str, other: Array, train: Array, first_image: int) -> str:
    differing = np.argwhere(other != train)
    image, step, *neuron = (int(i) for i in differing[0])
    has, lacks = ("fires", "silent") if other[tuple(differing[0])] else ("is silent", "fires")
    return (
        f"differs from the reference in {len(differing)} of {train.size} spikes of population {name!r}: first in image "
        f"{first_image + image}, step {step}, neuron {tuple(neuron)}, which {has} where the reference {lacks}"
    )


def _check_potentials(who: str, potentials: Array | None, wanted: Array | None, first_image: int) -> None:
    if wanted is None:
        return
    if potentials is None or potentials.shape != wanted.shape:
        found = "none" if potentials is None else f"of shape {potentials.shape}"
        raise VerificationError(f"{who} read potentials {found}; the reference: {wanted.shape}")
    if not np.array_equal(potentials, wanted):
        image, *neuron = (int(i) for i in np.argwhere(potentials != wanted)[0])
        reads, right = (int(array[image, *neuron]) for array in (potentials, wanted))
        raise VerificationError(
            f"{who} differs from the reference in the potential of the output: first in image {first_image + image}, "
            f"neuron {tuple(neuron)}, which reads {reads}; the reference: {right}"
        )


def _check_counts(who: str, counts: Counts, wanted: Counts) -> None:
    if [layer.name for layer in counts.layers] != [layer.name for layer in wanted.layers]:
        raise VerificationError(f"{who} counted other layers than the reference")
    for layer, right in zip(counts.layers, wanted.layers, strict=True):
        for field in fields(LayerCounts):
            a, b = getattr(layer, field.name), getattr(right, field.name)
            if a != b:
                raise VerificationError(f"{who} counted {field.name} = {a} in layer {layer.name!r}; the reference: {b}")


def _check_labels(network: Network, labels: Array | None, samples: int) -> None:
    if labels is None:
        return
    if labels.shape != (samples,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels must be {samples} integers, not {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(network.labels):
        raise InputError(f"labels reach from {labels.min()} to {labels.max()}; there are {len(network.labels)} classes")


def _most_images(network: Network) -> int:
    """As many images at once as the memory allows: a target may have to start anew for each chunk."""
    return max(1, MOST_SPIKES // (network.timesteps * sum(p.neurons for p in network.spiking)))


def _chunks(images: npt.NDArray[np.uint8], size: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    for begin in range(0, len(images), size):
        yield begin, images[begin : begin + size]


def _shifted(progress: Progress | None, begin: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(begin + done)


def _joined(network: Network, parts: list[_Part], labels: npt.NDArray[np.int64] | None, *, wall_s: float) -> Evaluation:
    results = [part.result for part in parts]
    predictions = np.concatenate([r.predictions for r in results])
    read = [r.potentials for r in results if r.potentials is not None]
    counts = results[0].counts
    for result in results[1:]:
        counts += result.counts
    return Evaluation(
        target=results[0].target,
        fingerprint=results[0].fingerprint,
        predictions=predictions,
        accuracy=None if labels is None else float((predictions == labels).mean()),
        counts=counts,
        output_spikes=np.concatenate([r.spikes[network.output.name] for r in results]),
        potentials=np.concatenate(read) if read else None,
        spike_totals={name: np.concatenate([p.totals[name] for p in parts]) for name in parts[0].totals},
        compared=parts[0].compared,
        wall_s=wall_s,
        versions=results[0].versions,
        notes={key: _note(key, [r.notes.get(key, 0.0) for r in results]) for key in results[0].notes},
    )


def _note(key: str, values: list[float]) -> float:
    return max(values) if key in HIGHEST else sum(values)
