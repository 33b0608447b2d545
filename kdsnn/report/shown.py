"""Some images, and when which neurons fired on them: the first that was right, and the first that were wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError
from kdsnn.network import Network
from kdsnn.steps.images import Selection, selection_of
from kdsnn.steps.models import Model
from kdsnn.targets.base import predict
from kdsnn.targets.reference import simulate

__all__ = ["one_image", "shown_images"]

RIGHT, WRONG = 2, 2  # images of each kind


def shown_images(network: Network, selection: Selection, evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each of the chosen images did, by its number among all test images.

    Args:
        network: that runs.
        selection: the images of the evaluation, in its order.
        evaluation: whose predictions say which images are right.
    """
    return _shown(network, selection, _chosen(selection, evaluation))


def one_image(model: Model, number: int, data: object = None, *, dataset: object = None) -> dict[str, Any]:
    """What an image did, by its number: a test image, or one of data that are named as `kdsnn.evaluate` takes them.

    Raises:
        InputError: there is no such image.
    """
    selection = selection_of(model, data, dataset=dataset)
    if not 0 <= number < len(selection.images):
        raise InputError(f"there is no image {number}: {selection.identity.name} has {len(selection.images)}, from 0")
    return _shown(model.network, selection, [number])[0]


def _shown(network: Network, selection: Selection, chosen: list[int]) -> list[dict[str, Any]]:
    spikes, potentials = simulate(network, selection.images[chosen])
    read = potentials if network.readout == "membrane" else None
    scores = spikes[network.output.name].sum(axis=1, dtype=np.int64) if read is None else read
    winners = predict(spikes[network.output.name], read)
    return [
        {
            "number": int(number if selection.chosen is None else selection.chosen[number]),
            "pixels": _still(network, selection.images[number]).tolist(),
            "frames": 1 if network.static else network.timesteps,
            "label": None if selection.labels is None else network.labels[int(selection.labels[number])],
            "winner": network.labels[int(winners[i])],
            "scores": [int(score) for score in scores[i].reshape(-1)],
            "spikes": {
                name: [np.flatnonzero(step).tolist() for step in train[i].reshape(len(train[i]), -1)]
                for name, train in spikes.items()
            },
            "neurons": {p.name: p.neurons for p in network.spiking},
        }
        for i, number in enumerate(chosen)
    ]


def _still(network: Network, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What can be drawn of an image: of one in time, the mean of its frames."""
    return image if network.static else np.rint(image.mean(axis=0)).astype(np.uint8)


def _chosen(selection: Selection, evaluation: Mapping[str, Any]) -> list[int]:
    if selection.labels is None:
        return list(range(min(RIGHT, len(selection.images))))
    right = np.array(evaluation["predictions"]) == selection.labels
    return [int(i) for i in (*np.flatnonzero(right)[:RIGHT], *np.flatnonzero(~right)[:WRONG])]
