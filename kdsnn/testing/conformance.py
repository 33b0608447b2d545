"""The conformance suite: any target, ours or a plug-in's, must compute the reference's spikes and counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.errors import VerificationError
from kdsnn.evaluation import check_same
from kdsnn.network import Network
from kdsnn.targets.base import Program, Target
from kdsnn.targets.fitting import ensure_runnable, violations
from kdsnn.targets.reference import ReferenceProgram
from kdsnn.testing.networks import example_networks

__all__ = ["Conformance", "check_target", "random_images", "stimuli"]

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Conformance:
    """The outcome of the suite: names of the networks that passed, and the reason for each one that was refused."""

    passed: tuple[str, ...]
    refused: dict[str, str]


def check_target(target: Target, networks: Iterable[Network] | None = None) -> Conformance:
    """Runs every example network on a target and compares all spikes and counts with the reference.

    Each network sees a batch of six images: an impulse, a constant, two random ones, full and no drive. The first
    network runs twice, and both runs must be equal; and it runs on one image alone, whose spikes must not depend on the
    other images of a batch.

    Raises:
        VerificationError: at the first difference, with the stage and the network; or the target refuses every network.
        TargetUnavailableError: the target cannot run here.
    """
    passed: list[str] = []
    refused: dict[str, str] = {}
    for network in example_networks() if networks is None else networks:
        if found := violations(target, network):
            refused[network.name] = "; ".join(map(str, found))
            continue
        ensure_runnable(target, network)
        images = stimuli(network)
        program, reference = target.compile(network), ReferenceProgram(network)
        _same("in one batch", target, program, reference, images)
        if not passed:
            _same("in a second run", target, program, reference, images)
            _same("of one image alone", target, program, reference, images[-1:])
        passed.append(network.name)
    if not passed:
        raise VerificationError(
            f"target {target.name!r} refuses all {len(refused)} networks, so that nothing was proven",
            problems=[f"{name}: {why}" for name, why in refused.items()],
        )
    return Conformance(tuple(passed), refused)


def _same(stage: str, target: Target, program: Program, reference: Program, images: Images) -> None:
    wanted = reference.run(images, record="all")
    try:
        check_same(program.run(images, record="all"), wanted, target=target.name)
    except VerificationError as error:
        raise VerificationError(f"network {program.network.name!r}, {stage}: {error.message}") from error


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
