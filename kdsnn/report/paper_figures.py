"""Figures of the paper (Xu et al., CVPR 2023) beside its curves: noisy images (8), and a spike sequence (9)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kdsnn.choices import NOISES
from kdsnn.data.image_noise import ImageNoise
from kdsnn.errors import InputError
from kdsnn.noise.measurements import judged as noise_judged
from kdsnn.report.drawings import Asked
from kdsnn.report.figures import OTHER, STUDENT, literal, picture

__all__ = ["noisy_images", "spike_sequence"]

KIND, SEED = "gaussian", 0  # of noise, where none was measured; and of its first draw
IMAGES = 4  # dimensions of a batch of them
LONGEST = 12  # characters of a class name that are shown


@literal
def noisy_images(asked: Asked) -> Figure:
    """A test image under each kind and level of noise that was measured on images: a row each, clean first."""
    levels: dict[str, list[float]] = {}
    for measured in (m for m, why_not in noise_judged(asked.model) if why_not is None):
        for noise in measured["noise"]:
            seen = {point["level"] for curve in noise["curves"] for point in curve["points"]} - {0}
            levels[noise["kind"]] = sorted({*levels.get(noise["kind"], ()), *seen})
    kinds = {kind: found for kind, found in levels.items() if isinstance(NOISES.get(kind), ImageNoise)}
    kinds = kinds or {KIND: list(NOISES.get(KIND).levels)}
    clean = np.array([asked.one_image["pixels"]], dtype=np.uint8)
    if clean.ndim != IMAGES or not asked.model.network.static:
        raise InputError(f"noise is drawn on images (C, H, W), not on {asked.model.network.image_shape}")
    columns = 1 + max(map(len, kinds.values()))
    size = asked.width / columns
    figure = Figure(figsize=(asked.width, (size + 0.2) * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), columns, squeeze=False)
    for row, (kind, found) in zip(panels, kinds.items(), strict=True):
        for axes in row:
            axes.set_axis_off()
        shown = [("clean", clean)]
        shown += [(f"{level:g}", NOISES.get(kind).add(clean, level, SEED, "test")) for level in found]
        row[0].annotate(kind, (-0.1, 0.5), xycoords="axes fraction", rotation=90, ha="right", va="center")
        for axes, (title, images) in zip(row, shown, strict=False):
            axes.imshow(picture(images[0]), cmap="gray", vmin=0, vmax=255)
            axes.set_title(title)
    return figure


@literal
def spike_sequence(asked: Asked) -> Figure:
    """A test image, and the output's spikes over time: a row an output neuron, and how often each fired."""
    image, network = asked.one_image, asked.model.network
    steps = image["spikes"][network.output.name]
    names = network.labels if len(network.labels) == network.output.neurons else range(network.output.neurons)
    fired = np.zeros((network.output.neurons, len(steps)), dtype=bool)
    for step, who in enumerate(steps):
        fired[who, step] = True
    height = max(1.2, 0.14 * len(fired) + 0.5)
    figure = Figure(figsize=(asked.width, height), layout="constrained")
    shown, sequence, totals = figure.subplots(1, 3, width_ratios=(1, 1.6, 0.8))
    shown.imshow(picture(np.array(image["pixels"])), cmap="gray")
    shown.set_title("image" if image["label"] is None else f"image ({image['label']})")
    shown.axis("off")
    neuron, at = np.nonzero(fired)
    sequence.plot(at + 1, neuron, "|", color=STUDENT, markersize=5)
    sequence.set_xlim(0.5, len(steps) + 0.5)
    sequence.set_xlabel("time step")
    sequence.set_yticks(range(len(fired)), [str(name)[:LONGEST] for name in names])
    count = fired.sum(axis=1)
    best = count.max()
    totals.barh(range(len(fired)), count, color=[OTHER if best and n == best else STUDENT for n in count])
    totals.set_yticks([])
    totals.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    totals.set_xlabel("spikes")
    for axes in (sequence, totals):
        axes.set_ylim(len(fired) - 0.5, -0.5)
    return figure
