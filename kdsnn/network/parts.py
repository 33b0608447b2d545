"""Weights that several projections carry together: high and low bits between the same two populations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kdsnn.network.populations import Projection

__all__ = ["put_together"]

GEOMETRY = ("stride", "padding", "dilation", "groups")  # of a convolution, beside its kernel


def put_together(projections: Iterable[Projection]) -> list[Projection]:
    """The projections of an integer network, with parts of one geometry as one, whose exponent is 0; int64 then."""
    alike: dict[tuple[Any, ...], list[Projection]] = {}
    for projection in projections:
        op, ends = projection.op, (projection.source, projection.target)
        key = (*ends, op.kind, op.weight.shape, *(getattr(op, name, None) for name in GEOMETRY))
        alike.setdefault(key, []).append(projection)
    return [_sum(parts) if len(parts) > 1 else parts[0] for parts in alike.values()]


def _sum(parts: Sequence[Projection]) -> Projection:
    weight = np.sum([part.op.weight.astype(np.int64) << part.exponent for part in parts], axis=0)
    return replace(parts[0], op=replace(parts[0].op, weight=weight), exponent=0)
