"""The same evaluation by the workers of a pool: each takes a share of the images, and makes its own target ready."""

from __future__ import annotations

import pickle
import time

import numpy as np
import numpy.typing as npt

from kdsnn.errors import UsageError
from kdsnn.evaluation.in_time import Curve
from kdsnn.evaluation.on_targets import check_labels, chunks, is_reference, most_images, run_chunk
from kdsnn.evaluation.result import Evaluation, Part, joined
from kdsnn.jobs.local_processes import Pool, completed, result_of
from kdsnn.network import Network
from kdsnn.targets.base import Progress, Target, check_images
from kdsnn.targets.fitting import ensure_fits, ensure_runnable
from kdsnn.targets.reference import ReferenceProgram

__all__ = ["evaluate_on"]


def evaluate_on(
    pool: Pool,
    network: Network,
    target: Target,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None = None,
    *,
    compare: bool = True,
    curve: Curve | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """What `kdsnn.evaluation.on_targets` finds, but for times and notes, by the workers of a pool.

    The images are shared out evenly, in no more chunks than the memory asks for: each starts the target anew. The
    target must be there, and may be missing here.

    Raises:
        UsageError: the target cannot be sent to a pool.
        PoolError: the pool was lost.
        KdsnnError: as `evaluate`.
    """
    check_images(network, images)
    check_labels(network, labels, len(images))
    ensure_fits(target, network)
    _check_sendable(target)
    begun, most = time.perf_counter(), most_images(network)
    rounds = -(-len(images) // (pool.workers * most))
    size = -(-len(images) // (pool.workers * rounds))
    shared = pool.share(network)
    jobs = {
        pool.submit(_run_chunk_there, shared, target, chunk, begin, compare, curve is not None, time_limit_s): begin
        for begin, chunk in chunks(images, size)
    }
    parts: dict[int, Part] = {}
    try:
        for job in completed(pool, jobs, time_limit_s=time_limit_s):
            parts[jobs[job]] = result_of(job)
            if progress is not None:
                progress(sum(len(part.result.predictions) for part in parts.values()))
    finally:
        for job in jobs:
            job.cancel()
    in_order = [parts[begin] for begin in sorted(parts)]
    margins = () if curve is None else curve.margins
    return joined(network, target.name, in_order, labels, wall_s=time.perf_counter() - begun, margins=margins)


def _run_chunk_there(
    network: Network,
    target: Target,
    images: npt.NDArray[np.uint8],
    first_image: int,
    compare: bool,
    by_step: bool,
    time_limit_s: float | None,
) -> Part:
    ensure_runnable(target, network)
    program = target.compile(network)
    wanted = ReferenceProgram(network).run(images, record="all") if compare and not is_reference(target) else None
    return run_chunk(target.name, program, wanted, images, first_image, time_limit_s, by_step=by_step)


def _check_sendable(target: Target) -> None:
    try:
        pickle.dumps(target)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"target {target.name!r} cannot be sent to a pool: {error}", hint="run it without a pool"
        ) from error
