"""Weights that several projections carry together: high and low bits between the same two populations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from kdsnn.network.populations import Projection

__all__ = ["put_together"]

GEOMETRY = ("stride", "padding", "dilation", "groups")  # of a convolution, beside its kernel


def put_together(projections: Iterable[Projection]) -> list[Projection]:
    """The projections of an integer network, with parts of one geometry as one, exponents multiplied in; int64."""
    whole: dict[tuple[Any, ...], Projection] = {}
    for projection in projections:
        op, ends = projection.op, (projection.source, projection.target)
        key = (*ends, op.kind, op.weight.shape, *(getattr(op, name, None) for name in GEOMETRY))
        weight = op.weight.astype(np.int64) << projection.exponent
        if key in whole:
            weight = weight + whole[key].op.weight
        whole[key] = Projection(*ends, replace(op, weight=weight), part=whole.get(key, projection).part)
    return list(whole.values())
