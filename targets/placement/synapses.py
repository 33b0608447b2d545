"""A projection as single synapses, which is how simulators of cores keep them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdsnn.hardware.limits import load_hardware
from kdsnn.network import Conv2d, Projection, Shape
from kdsnn.targets.placement.footprint import Footprint

__all__ = ["synapses"]

Int64Array = npt.NDArray[np.int64]


def synapses(projection: Projection, source: Shape) -> Int64Array:
    """Source neuron, target neuron and weight of every synapse, those of weight zero too, `(3, synapses)`.

    Neurons are numbered in row-major order; a weight is in weight units, its exponent applied.

    Args:
        projection: the synapses.
        source: shape of the source population.
    """
    op = projection.op
    weight = op.weight.astype(np.int64) << projection.exponent
    if not isinstance(op, Conv2d):
        target, origin = np.indices(weight.shape)
        return np.stack([origin.reshape(-1), target.reshape(-1), weight.reshape(-1)])
    taps = Footprint.of(projection, source, load_hardware("loihi1").synapses).taps
    position, tap = np.nonzero(taps >= 0)
    c_out, c_in, *_ = weight.shape
    target_channel, input_channel = np.indices((c_out, c_in))[..., None]
    source_channel = target_channel // (c_out // op.groups) * c_in + input_channel
    every = (c_out, c_in, len(position))
    sources = np.broadcast_to(source_channel * (source[1] * source[2]) + taps[position, tap], every)
    targets = np.broadcast_to(target_channel * len(taps) + position, every)
    weights = weight.reshape(c_out, c_in, -1)[:, :, tap]
    return np.stack([part.reshape(-1) for part in (sources, targets, weights)])
