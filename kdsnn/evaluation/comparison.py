"""Edge (3): whether a target computed what the reference did, spike for spike and count for count."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import VerificationError
from kdsnn.network.counters import Counts, LayerCounts
from kdsnn.targets.base import RunResult

__all__ = ["check_same"]

Array = npt.NDArray[Any]


def check_same(result: RunResult, wanted: RunResult, *, target: str = "", first_image: int = 0) -> None:
    """Raises VerificationError at the first spike or count in which a result differs from what was wanted.

    Args:
        result: of a target.
        wanted: of the reference.
        target: name of the target, for the message.
        first_image: number of the first of these images among all.
    """
    who = f"target {target!r}"
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
        raise VerificationError(f"{who} read membrane potentials {found}; the reference: {wanted.shape}")
    if not np.array_equal(potentials, wanted):
        image, *neuron = (int(i) for i in np.argwhere(potentials != wanted)[0])
        reads, right = (int(array[image, *neuron]) for array in (potentials, wanted))
        raise VerificationError(
            f"{who} differs from the reference in the membrane potential of the output: first in image "
            f"{first_image + image}, neuron {tuple(neuron)}, which reads {reads}; the reference: {right}"
        )


def _check_counts(who: str, counts: Counts, wanted: Counts) -> None:
    if [layer.name for layer in counts.layers] != [layer.name for layer in wanted.layers]:
        raise VerificationError(f"{who} counted other layers than the reference")
    for layer, right in zip(counts.layers, wanted.layers, strict=True):
        for field in fields(LayerCounts):
            a, b = getattr(layer, field.name), getattr(right, field.name)
            if a != b:
                raise VerificationError(f"{who} counted {field.name} = {a} in layer {layer.name!r}; the reference: {b}")
