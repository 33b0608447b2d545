"""Rounding that knows what the weights will meet: the error of each is made good by those not rounded yet.

Plain rounding is best weight by weight, and not for their sums: neighbouring pixels, and channels that fire together,
add their errors up. Taking the inputs' second moments H = mean of x x' into account (optimal brain surgeon; GPTQ:
Frantar et al. 2022, arXiv 2210.17323), the error (w - step * q) of column i moves to the later columns j by
-U[i, j] / U[i, i], where U' U is the inverse of H.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdsnn.export.quantization.candidates import FloatArray, integers

__all__ = ["MOST_TAPS", "compensated"]

MOST_TAPS = 2048  # of a neuron: the inverse of H takes the third power of it
DAMPING = 0.01  # of the mean second moment, added to each, so that a sample of the inputs decides no more than it knows


def compensated(
    weight: FloatArray, taps: npt.NDArray[np.float32], step: float, largest: int
) -> npt.NDArray[np.float64]:
    """The integers that a weight rounds to, of its shape.

    Args:
        weight: `(C_out, ...)`, as many taps in each row as `taps` has.
        taps: `(groups, samples, taps)`: what the weights meet.
        step: the value of one integer.
        largest: magnitude.
    """
    rows = weight.reshape(len(taps), -1, taps.shape[2])
    made = np.stack([_group(w, x, step, largest) for w, x in zip(rows, taps, strict=True)])
    return made.reshape(weight.shape)


def _group(weight: FloatArray, taps: npt.NDArray[np.float32], step: float, largest: int) -> npt.NDArray[np.float64]:
    """One group of channels: `(rows, taps)`."""
    moments = (taps.T @ taps).astype(np.float64) / len(taps)
    mean = float(np.trace(moments)) / len(moments)
    if mean == 0:  # nothing ever comes in
        return integers(weight, step, largest)
    moments += DAMPING * mean * np.eye(len(moments))
    order = np.argsort(-np.diag(moments), kind="stable")  # the busiest first: their errors have most places to go
    inverse = np.linalg.inv(moments[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T
    left, whole = weight[:, order].copy(), np.zeros_like(weight)
    for i in range(len(order)):
        whole[:, i] = integers(left[:, i], step, largest)
        error = (left[:, i] - whole[:, i] * step) / upper[i, i]
        left[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])
    back = np.empty_like(whole)
    back[:, order] = whole
    return back
