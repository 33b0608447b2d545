"""Synaptic events counted in torch, on the device: what each message reached, by sending ones back through the map.

The transpose of a projection whose weights are all one, applied to one at every target neuron, gives at every source
neuron the number of synapses that leave it. It is computed once, and multiplied with what the source emitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from kdsnn.network import Conv2d, Projection, Shape
from kdsnn.network.counters import Tally

__all__ = ["Events", "events_of"]


@dataclass(frozen=True)
class Events:
    """How many synapses a message of each source neuron reaches, int64, in the layout of its spikes.

    Attributes:
        dense: of all.
        effective: of those whose weight is not zero.
        graded: whether the messages are graded, so that each event is a multiply-accumulate.
    """

    dense: torch.Tensor
    effective: torch.Tensor
    graded: bool

    def reached(self, emitted: torch.Tensor) -> torch.Tensor:
        """Synapses that were reached, all and effective ones, int64 `(2,)`, by the messages of each source neuron."""
        sent = emitted.to(torch.int64).reshape(self.dense.shape)
        return torch.stack([(sent * self.dense).sum(), (sent * self.effective).sum()])

    def tally(self, dense: int, effective: int) -> Tally:
        """What `reached` says, as the counts that it is."""
        if self.graded:
            return Tally(input_macs=dense, input_macs_effective=effective)
        return Tally(synops_dense=dense, synops_effective=effective)


def events_of(projection: Projection, source: Shape, device: torch.device, *, graded: bool) -> Events:
    """The events of a projection.

    Args:
        projection: of an integer network.
        source: shape of the population that it comes from, `(C, H, W)` or `(N,)`.
        device: of torch.
        graded: whether its messages are.
    """
    present = torch.from_numpy((projection.op.weight != 0).astype(np.float64))
    dense, effective = (_sent_back(projection, mask, source) for mask in (torch.ones_like(present), present))
    return Events(dense.to(device), effective.to(device), graded)


def _sent_back(projection: Projection, mask: torch.Tensor, source: Shape) -> torch.Tensor:
    """Synapses of each source neuron, with the channels last where it has channels."""
    op = projection.op
    if isinstance(op, Conv2d):
        per_channel = mask.reshape(op.groups, -1, *mask.shape[1:]).sum(dim=1).flatten(0, 1).unsqueeze(1)
        _, height, width = op.output_shape(source)
        reached = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip((height, width), op.stride, op.padding, op.dilation, mask.shape[2:], strict=True)
        ]
        ones = torch.ones(1, source[0], height, width, dtype=torch.float64)
        back = F.conv_transpose2d(
            ones,
            per_channel,
            stride=op.stride,
            padding=op.padding,
            output_padding=[n - r for n, r in zip(source[1:], reached, strict=True)],
            groups=source[0],
            dilation=op.dilation,
        )[0]
    else:
        back = mask.sum(dim=0).reshape(source)
    last = back.permute(1, 2, 0) if back.ndim == 3 else back
    return last.round().to(torch.int64).contiguous()
