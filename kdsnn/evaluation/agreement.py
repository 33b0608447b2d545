"""Whether an integer network is still the float network that it was made of: both run on the same images.

Rounding is no mapping of spikes to spikes, so here nothing can be equal to the last one. What is measured: on how many
images both give the same class, and layer by layer how many neuron-steps differ, how the firing rates moved, which
weights became zero and which channels fell silent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import VerificationError
from kdsnn.evaluation.edges import FLOAT_TO_INTEGER
from kdsnn.evaluation.on_targets import check_labels, chunks, most_images
from kdsnn.files.reading import json_object
from kdsnn.network import Network, Population
from kdsnn.network.float_simulation import simulate_float
from kdsnn.network.parts import put_together
from kdsnn.targets.base import check_images, predict
from kdsnn.targets.registry import quick_target

__all__ = [
    "ACCURACY_ROOM",
    "MAX_DISAGREEMENT",
    "Agreement",
    "LayerAgreement",
    "agreement",
    "agreement_of",
    "ensure_agrees",
    "with_agreement",
]

MAX_DISAGREEMENT = 0.05  # share of the predictions that may differ
ACCURACY_ROOM = 0.01  # or so much accuracy may be lost, where there are labels
KEPT = "agreement"  # in a network's provenance: the figures, as JSON
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LayerAgreement:
    """One population, in the float network and in the integer network.

    Attributes:
        name: of the population.
        float_rate: spikes of the float network, a neuron and step.
        rate: of the integer network.
        differing: share of the neuron-steps in which only one of the two spiked.
        near_threshold: share of the neuron-steps in which the float potential lay so near the threshold that float32
            could decide otherwise.
        zeroed: share of the weights that are zero in the integer network and not in the float network.
        dead_channels: channels (neurons of a flat population) that fired in the float network and never in the other.
    """

    name: str
    float_rate: float
    rate: float
    differing: float
    near_threshold: float
    zeroed: float
    dead_channels: int


@dataclass(frozen=True)
class Agreement:
    """Two networks on the same images.

    Attributes:
        images: number of them.
        shown: which images these are, in words.
        agreeing: images to which both gave the same class.
        ties: of the others, those on which the float network itself scored the integer network's class as high as its
            own, so that the order of the classes decided.
        fired: images on which the output of the float network spiked at all; all of them where a potential is read.
        float_accuracy: share of right classes of the float network; None without labels.
        accuracy: of the integer network.
        layers: in the order of the network.
    """

    images: int
    shown: str
    agreeing: int
    ties: int
    fired: int
    float_accuracy: float | None
    accuracy: float | None
    layers: tuple[LayerAgreement, ...]

    @property
    def disagreement(self) -> float:
        """Share of the images to which they gave different classes."""
        return (self.images - self.agreeing) / self.images

    def __str__(self) -> str:
        silent = "" if self.fired == self.images else f", the output silent on {self.images - self.fired} of them"
        others = self.images - self.agreeing
        ties = f"; {self.ties} of the {others} others are ties in the float network" if self.ties else ""
        share = 100 * self.agreeing / self.images
        return f"{share:.1f} % of {self.images} predictions agree ({self.shown}{silent}{ties})"

    def as_json(self) -> dict[str, Any]:
        """All by name, `disagreement` with them."""
        return {**asdict(self), "disagreement": self.disagreement}


def agreement(
    float_network: Network, network: Network, images: Images, labels: Labels | None = None, *, shown: str
) -> Agreement:
    """Runs a float network in float64 and its integer network on images.

    Args:
        float_network: as `kdsnn.network.float_simulation` computes it.
        network: integer, of the same populations.
        images: `(N, *image_shape)` uint8.
        labels: `(N,)`, for the accuracies.
        shown: which images these are, in words.

    Raises:
        InputError: the images or labels do not fit.
    """
    check_images(network, images)
    check_labels(network, labels, len(images))
    program = quick_target(network).compile(network)
    float_tally = {p.name: np.zeros(p.neurons, dtype=np.int64) for p in network.spiking}
    tally, differing = {n: np.zeros_like(t) for n, t in float_tally.items()}, dict.fromkeys(float_tally, 0)
    near = dict.fromkeys(float_tally, 0)
    float_classes, classes, ties, fired = [], [], 0, 0
    for _, chunk in chunks(images, max(1, most_images(network) // 8)):  # potentials and drives are float64
        activity, result = simulate_float(float_network, chunk), program.run(chunk, record="all")
        for name, train in activity.spikes.items():
            float_tally[name] += train.reshape(-1, tally[name].size).sum(axis=0, dtype=np.int64)
            tally[name] += result.spikes[name].reshape(-1, tally[name].size).sum(axis=0, dtype=np.int64)
            differing[name] += int((train != result.spikes[name]).sum())
            near[name] += activity.near_threshold[name]
        output = activity.spikes[network.output.name]
        read = activity.potentials if network.readout == "membrane" else None
        float_classes.append(predict(output, read))
        classes.append(result.predictions)
        ties += _ties(output.sum(axis=1, dtype=np.int64) if read is None else read, float_classes[-1], classes[-1])
        fired += len(chunk) if read is not None else int(output.reshape(len(chunk), -1).any(axis=1).sum())
    steps = len(images) * network.timesteps
    float_class, integer_class = np.concatenate(float_classes), np.concatenate(classes)
    return Agreement(
        images=len(images),
        shown=shown,
        agreeing=int((float_class == integer_class).sum()),
        ties=ties,
        fired=fired,
        float_accuracy=None if labels is None else float((float_class == labels).mean()),
        accuracy=None if labels is None else float((integer_class == labels).mean()),
        layers=tuple(
            LayerAgreement(
                name=p.name,
                float_rate=float(float_tally[p.name].sum() / (steps * p.neurons)),
                rate=float(tally[p.name].sum() / (steps * p.neurons)),
                differing=differing[p.name] / (steps * p.neurons),
                near_threshold=near[p.name] / (steps * p.neurons),
                zeroed=_zeroed(float_network, network, p.name),
                dead_channels=_fallen_silent(p, float_tally[p.name], tally[p.name]),
            )
            for p in network.spiking
        ),
    )


def ensure_agrees(found: Agreement, limit: float = MAX_DISAGREEMENT, accuracy_lost: float | None = None) -> None:
    """Raises unless two networks agree, and there was something to agree on.

    Args:
        found: on the calibration images.
        limit: share of the predictions that may differ; 1 takes every network, one whose output is silent too.
        accuracy_lost: on labelled images, where it is known better than from `found`; a network that lost
            `ACCURACY_ROOM` at most is taken, however many predictions moved.

    Raises:
        VerificationError: with the layer in which they part, or that the output is silent, and what to do.
    """
    if accuracy_lost is None and found.float_accuracy is not None and found.accuracy is not None:
        accuracy_lost = found.float_accuracy - found.accuracy
    if found.fired == 0 and limit < 1:  # where a potential is read, all images count as fired
        raise VerificationError(
            f"the float network's output is silent on all {found.images} images ({found.shown}), so that nothing is "
            "known of how far the integer network agrees",
            hint="brighter images, or with the right range (--data-range); other images (--calibrate, --images); lower "
            "thresholds, more time steps or more epochs; or take it as it is: --max-disagreement 1",
        )
    if found.disagreement <= limit or (accuracy_lost is not None and accuracy_lost <= ACCURACY_ROOM):
        return
    raise VerificationError(
        f"the integer network is not the float network any more: {found}; {100 * limit:g} % may differ",
        problems=[_in_words(layer) for layer in _parting(found.layers)],
        hint="more --weight-bits (above 8 two synapses carry a weight), another --method or other --input-bits, fewer "
        "time steps, fine-tuning of a run (--qat-epochs), images like those it was trained on (--calibrate, --images); "
        "or take it as it is: --max-disagreement 1",
    )


def with_agreement(network: Network, found: Agreement) -> Network:
    """The network, that says how far it agrees with the float network it was made of; its fingerprint is the same."""
    said = {FLOAT_TO_INTEGER: str(found), KEPT: json.dumps(found.as_json())}
    return replace(network, provenance={**network.provenance, **said})


def agreement_of(network: Network) -> dict[str, Any] | None:
    """The figures that a network keeps of how far it agrees with its float network; None where it keeps none."""
    kept = network.provenance.get(KEPT)
    return None if kept is None else json_object(kept, f"what network {network.name[:100]!r} keeps of its agreement")


def _ties(scores: npt.NDArray[Any], own: Labels, other: Labels) -> int:
    """How many images have two classes, the network's own and another one, of the same score in `(N, *shape)`."""
    flat, image = scores.reshape(len(scores), -1), np.arange(len(scores))
    return int(((own != other) & (flat[image, own] == flat[image, other])).sum())


def _parting(layers: Sequence[LayerAgreement]) -> list[LayerAgreement]:
    """The first layer that differs, and the one in which most is added to what the layer before differs."""
    before = (0.0, *(layer.differing for layer in layers))
    first = next((i for i, layer in enumerate(layers) if layer.differing > 0), 0)
    worst = max(range(len(layers)), key=lambda i: layers[i].differing - before[i])
    return [layers[i] for i in sorted({first, worst})]


def _in_words(layer: LayerAgreement) -> str:
    return (
        f"layer {layer.name!r}: {100 * layer.differing:.1f} % of its neuron-steps differ, firing rate "
        f"{100 * layer.float_rate:.2f} % in float and {100 * layer.rate:.2f} % in integers, "
        f"{100 * layer.zeroed:.1f} % of its weights became 0, {layer.dead_channels} channels fell silent"
    )


def _zeroed(float_network: Network, network: Network, name: str) -> float:
    lost = count = 0
    for exact, made in zip(float_network.incoming(name), put_together(network.incoming(name)), strict=True):
        lost += int(((exact.op.weight != 0) & (made.op.weight == 0)).sum())
        count += exact.op.weight.size
    return lost / count


def _fallen_silent(population: Population, float_tally: npt.NDArray[np.int64], tally: npt.NDArray[np.int64]) -> int:
    before, after = (t.reshape(population.shape[0], -1).sum(axis=1) for t in (float_tally, tally))
    return int(((before > 0) & (after == 0)).sum())
