"""A folded network in training, and what the loss learns beside it; what `kdsnn.distill.learner` is to a student."""

from __future__ import annotations

import torch
from torch import nn

from kdsnn.distill.learner import Answer, Beside, Watched
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.errors import RecipeError
from kdsnn.models.in_time import encode_batch

__all__ = ["FoldedLearner"]


class FoldedLearner(nn.Module):
    """A folded network that answers as a student does.

    Args:
        net: the folded network, whose populations have the names of the student's layers.
        watched: what the loss watches, by these names.
        encode: how the network is shown still images, where it takes images in time.
        rounded: whether it computes in integers, or as the float network does.

    Raises:
        RecipeError: a layer of `distill.pairs` is no population of the network.
    """

    def __init__(self, net: FoldedNet, watched: Watched, encode: str, *, rounded: bool = True) -> None:
        super().__init__()
        known = [population.name for population in net.network.spiking]
        if missing := [pair.student for pair in watched.pairs if pair.student not in known]:
            raise RecipeError(
                f"distill.pairs: {missing[0]!r} is no population of the network, which alone fine-tuning can compare",
                hint=f"its populations are: {', '.join(known)}",
            )
        self.net, self.watched, self.encode = net, watched, encode
        self.rounded = None if rounded else ()
        self.beside = Beside(watched)

    def forward(self, images: torch.Tensor) -> Answer:
        """What the loss sees of a batch of images in [0, 1]."""
        network, watched, beside = self.net.network, self.watched, self.beside
        shown = encode_batch(images, self.encode, network.timesteps)
        spikes, drive = self.net.answer((shown * 255).round().clamp(0, 255), self.rounded)
        steps = spikes[network.output.name]
        features = beside.features(watched.pairs, (spikes[pair.student].mean(dim=0) for pair in watched.pairs))
        read = None
        if beside.head is not None:
            last = spikes[network.incoming(network.output.name)[0].source].mean(dim=0)
            fits = last[0].numel() == beside.head.in_features  # else a mean over the image became part of the weights
            read = beside.head(last.flatten(1) if fits else last.mean(dim=(2, 3)))
        if watched.neurons is None:  # the membrane is read
            drive = steps
        seen = drive.expand_as(steps).flatten(2) if watched.drive else None
        return Answer(steps.flatten(2), seen, features, read, beside.scale())
