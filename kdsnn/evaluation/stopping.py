"""When a network may stop before its last step, and what it has answered then: pure functions of what was recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Stopped", "at_first_spike", "by_margin", "usual_margins"]

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the images, whose last leads are tried as margins of potentials


@dataclass(frozen=True)
class Stopped:
    """After which step each image stopped, and with which answer.

    Attributes:
        steps: that it ran, `(N,)` int64, from 1 to T.
        predictions: `(N,)` int64.
    """

    steps: Int64Array
    predictions: Int64Array


def by_margin(predictions: Int32Array, leads: Int32Array, margin: int) -> Stopped:
    """Each image stops after the first step at which the leading class leads by this much, or after the last.

    Args:
        predictions: after each step, `(N, T)`.
        leads: of the predicted class, `(N, T)`.
        margin: in the units of the leads, one at least.
    """
    stops = leads >= margin
    stops[:, -1] = True
    step = stops.argmax(axis=1)
    return Stopped(step + 1, np.take_along_axis(predictions, step[:, None], axis=1)[:, 0].astype(np.int64))


def at_first_spike(output_spikes: npt.NDArray[np.uint8]) -> Stopped:
    """Each image stops after the step in which any output neuron first spikes, and says its class.

    Of several in that step the lowest class counts; an image without a spike runs all steps and says class 0.

    Args:
        output_spikes: `(N, T, *shape)`.
    """
    trains = output_spikes.reshape(*output_spikes.shape[:2], -1)
    stops = trains.max(axis=2) > 0
    stops[:, -1] = True
    step = stops.argmax(axis=1)
    return Stopped(step + 1, trains[np.arange(len(trains)), step].argmax(axis=1))


def usual_margins(leads: Int32Array, *, of_spikes: bool) -> list[int]:
    """Margins worth a look: numbers of spikes up to the largest lead, or potentials that so many images come to."""
    if not of_spikes:
        return sorted({max(1, int(lead)) for lead in np.quantile(leads[:, -1], SHARES)})
    powers = [2**k for k in range(16)]
    between = [3 * 2**k for k in range(15)]  # 1, 2, 3, 4, 6, 8, 12, ...
    return [margin for margin in sorted(powers + between) if margin <= int(leads.max(initial=0))]
