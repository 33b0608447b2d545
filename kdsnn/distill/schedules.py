"""Schedules of the learning rate: the share of the highest at a moment of the training, which goes from 0 to 1."""

from __future__ import annotations

import math

__all__ = ["constant", "cosine", "onecycle"]

WARM_UP = 0.3  # share of the steps, of a one-cycle schedule
START, END = 1 / 25, 1e-4  # of the highest learning rate


def constant(_progress: float) -> float:
    """The highest, always."""
    return 1.0


def cosine(progress: float) -> float:
    """Down half a cosine wave, to zero."""
    return (1 + math.cos(math.pi * progress)) / 2


def onecycle(progress: float) -> float:
    """Up half a cosine wave, and down another (Smith and Topin 2018)."""
    if progress < WARM_UP:
        return _between(START, 1.0, progress / WARM_UP)
    return _between(1.0, END, (progress - WARM_UP) / (1 - WARM_UP))


def _between(first: float, last: float, share: float) -> float:
    """Half a cosine wave from one value to another."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
