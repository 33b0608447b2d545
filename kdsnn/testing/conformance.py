"""The conformance suite: any target, ours or a plug-in's, must compute the reference's spikes and counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.errors import ConformanceError, DoesNotFitError, KdsnnError, TargetUnavailableError
from kdsnn.evaluation import check_same
from kdsnn.network import Network
from kdsnn.targets.base import Program, Target
from kdsnn.targets.fitting import violations
from kdsnn.targets.reference import ReferenceProgram
from kdsnn.testing.networks import example_networks

__all__ = ["STAGES", "Conformance", "check_target", "random_images", "stimuli"]

Images = npt.NDArray[np.uint8]
STAGES = {  # in their order, each with what must hold in it
    "probe": "it says whether it can run here, and it can",
    "check": "it says what does not fit, and takes one network at least",
    "refuse": "it does not compile a network that does not fit",
    "compile": "it compiles one that fits",
    "run": "the program takes images, and gives an answer",
    "compare": "every spike, potential, prediction and count is the reference's",
}


@dataclass(frozen=True)
class Conformance:
    """The outcome of the suite.

    Attributes:
        passed: names of the networks that the target computes as the reference does.
        refused: those that it refused, each with its reason: a feature that it has not declared, or a limit.
        unproven: features that it declares, and that no network which passed uses.
    """

    passed: tuple[str, ...]
    refused: dict[str, str]
    unproven: frozenset[str]


def check_target(target: Target, networks: Iterable[Network] | None = None) -> Conformance:
    """Runs every example network on a target and compares all spikes and counts with the reference.

    Each network that fits sees a batch of six images: an impulse, a constant, two random ones, full and no drive. The
    first network runs twice, and both runs must be equal; and it runs on one image alone, whose spikes must not depend
    on the other images of a batch. A network that uses a feature which the target has not declared, or exceeds a limit,
    must be refused by `compile`.

    Raises:
        ConformanceError: at the first failure, with the stage (one of `STAGES`) and the network; or the target refuses
            every network.
        TargetUnavailableError: the target cannot run here.
    """
    _probe(target)
    passed: list[str] = []
    refused: dict[str, str] = {}
    proven: frozenset[str] = frozenset()
    for network in example_networks() if networks is None else networks:
        with _stage("check", target, network):
            found = violations(target, network)
        if found:
            refused[network.name] = "; ".join(map(str, found))
            _ensure_refused(target, network, refused[network.name])
            continue
        with _stage("compile", target, network):
            program = target.compile(network)
        images, reference = stimuli(network), ReferenceProgram(network)
        _compare("in one batch", target, program, reference, images)
        if not passed:
            _compare("in a second run", target, program, reference, images)
            _compare("of one image alone", target, program, reference, images[-1:])
        passed.append(network.name)
        proven |= network.features
    if not passed:
        raise ConformanceError(
            "check",
            f"target {target.name!r} refuses all {len(refused)} networks, so that nothing was proven",
            problems=[f"{name}: {why}" for name, why in refused.items()],
        )
    return Conformance(tuple(passed), refused, target.features - proven)


def _probe(target: Target) -> None:
    with _stage("probe", target):
        availability = target.probe()
    if not availability.available:
        raise TargetUnavailableError(
            f"stage 'probe': target {target.name!r} is not available: {availability.detail}", hint=availability.hint
        )


def _ensure_refused(target: Target, network: Network, why: str) -> None:
    with _stage("refuse", target, network):
        try:
            target.compile(network)
        except DoesNotFitError:
            return
    raise ConformanceError(
        "refuse",
        f"target {target.name!r} compiles network {network.name!r}, which does not fit it: {why}",
        hint="let compile call kdsnn.targets.fitting.ensure_runnable first",
    )


def _compare(run: str, target: Target, program: Program, reference: Program, images: Images) -> None:
    wanted = reference.run(images, record="all")
    with _stage("run", target, program.network, run):
        result = program.run(images, record="all")
    with _stage("compare", target, program.network, run):
        check_same(result, wanted, target=target.name)


@contextmanager
def _stage(stage: str, target: Target, network: Network | None = None, run: str = "") -> Iterator[None]:
    """Within it, whatever a target raises becomes a ConformanceError that names the stage."""
    where = ", ".join(part for part in (f"network {network.name!r}" if network else "", run) if part)
    before = f"{where}: " if where else ""
    try:
        yield
    except KdsnnError as error:
        raise ConformanceError(stage, f"{before}{error.message}", hint=error.hint, problems=error.problems) from error
    except Exception as error:
        what = f"target {target.name!r} raised {type(error).__name__}: {error}"
        raise ConformanceError(stage, before + what) from error


def stimuli(network: Network, seed: int = 0) -> Images:
    """An impulse, a constant, two random images, full and no drive, `(6, *image_shape)`.

    The bright ones stand before the dark one, so that state which leaks from image to image shows.
    """
    shape = network.image_shape
    impulse = np.zeros(shape, dtype=np.uint8)
    impulse[tuple(n // 2 for n in shape)] = 255
    random = random_images(network, 2, seed)
    return np.stack([impulse, np.full(shape, 128, np.uint8), *random, np.full(shape, 255, np.uint8), impulse * 0])


def random_images(network: Network, samples: int, seed: int = 0) -> Images:
    """Random pixels, half of them black, `(samples, *image_shape)`."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (samples, *network.image_shape))
    return np.where(rng.random(images.shape) < 0.5, 0, images).astype(np.uint8)
