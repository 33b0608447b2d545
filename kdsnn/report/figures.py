"""The figures of a report, drawn from its JSON alone: as wide as asked, in inches."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

__all__ = ["OTHER", "STUDENT", "TEACHER", "accuracy_bars", "as_svg", "energy_bars", "layer_bars", "picture", "raster"]

TEACHER, STUDENT, OTHER = "#8a8f98", "#2563a8", "#d9822b"
PAGE_WIDTH = 7.0  # inches


def accuracy_bars(rows: Sequence[dict[str, Any]], width: float = PAGE_WIDTH) -> Figure:
    """Accuracy of the teacher, the student, the integer network and targets, all on the same number of images."""
    figure = Figure(figsize=(width, 0.45 * len(rows) + 0.8), layout="constrained")
    axes = figure.add_subplot()
    values = [100 * row["accuracy"] for row in rows]
    colours = [TEACHER if "teacher" in row["what"] else STUDENT for row in rows]
    position = range(len(rows))  # names would lay two bars of one name over each other
    bars = axes.barh(position, values, color=colours)
    axes.set_yticks(position, [row["what"] for row in rows])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set_xlim(min(values) - 3, 100.9)
    axes.set_xlabel(f"accuracy (%), {rows[0]['samples']:,} images")
    return figure


def layer_bars(layers: Sequence[dict[str, Any]], width: float = PAGE_WIDTH) -> Figure:
    """Firing rate and synaptic operations of each layer."""
    figure = Figure(figsize=(width, 0.4 * len(layers) + 1.0), layout="constrained")
    rates, synops = figure.subplots(1, 2, sharey=True)
    names = [layer["name"] for layer in layers]
    rates.barh(names, [100 * layer["firing_rate"] for layer in layers], color=STUDENT)
    rates.set_xlabel("firing rate (% per step)")
    rates.invert_yaxis()
    position = np.arange(len(layers))
    synops.barh(position - 0.2, [x["synops_dense_per_sample"] for x in layers], 0.4, color=STUDENT, label="SynOps")
    synops.barh(position + 0.2, [x["input_macs_per_sample"] for x in layers], 0.4, color=OTHER, label="input MACs")
    synops.set_xlabel("operations per sample")
    synops.legend(frameon=False)
    return figure


def energy_bars(reports: Sequence[dict[str, Any]], width: float = PAGE_WIDTH) -> Figure:
    """Energy per sample under models of one account: dynamic, static hatched, and the teacher's where it is known.

    A model that knows no dynamic energy has no bar.
    """
    known = [r for r in reports if r["dynamic_j_per_sample"] is not None]
    figure = Figure(figsize=(width, 0.55 * max(1, len(known)) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    position = np.arange(len(known))
    dynamic = np.array([1e6 * r["dynamic_j_per_sample"] for r in known])
    static = np.array([1e6 * r["static"]["alone_j_per_sample"] if r["static"] else 0.0 for r in known])
    axes.barh(position - 0.2, dynamic, 0.4, color=STUDENT, label="student, dynamic")
    if static.any():
        label = "student, static (a sample alone)"
        axes.barh(position - 0.2, static, 0.4, left=dynamic, color="white", edgecolor=STUDENT, hatch="///", label=label)
    for place, energy, joules in zip(position, known, dynamic + static, strict=True):
        whole = "" if energy["total_j_per_sample"] is not None else " and what is not known"
        axes.annotate(f"{joules:.3g}{whole}", (joules, place - 0.2), (3, 0), textcoords="offset points", va="center")
    teacher = [1e6 * (r["teacher_j_per_sample"] or np.nan) for r in known]
    if not np.isnan(teacher).all():
        bars = axes.barh(position + 0.2, teacher, 0.4, color=TEACHER, label="teacher's multiply-accumulates")
        axes.bar_label(bars, labels=["" if np.isnan(t) else f"{t:.3g}" for t in teacher], padding=3)
    axes.set_yticks(position, [r["model"] for r in known])
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set_xlabel("estimated energy (µJ per sample)")
    axes.legend(frameon=False)
    return figure


def raster(image: dict[str, Any], width: float | None = None) -> Figure:
    """One image, and the neurons that fired on it, population by population: steps across, neurons up."""
    names = list(image["spikes"])
    figure = Figure(figsize=(width or 1.4 * (len(names) + 1), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names) + 1, width_ratios=(1.6, *(1 for _ in names)))
    axes[0].imshow(picture(np.array(image["pixels"])), cmap="gray")
    axes[0].set_title("image" if image["label"] is None else f"image ({image['label']})", fontsize=7)
    axes[0].axis("off")
    for axis, name in zip(axes[1:], names, strict=True):
        steps = image["spikes"][name]
        neurons = image["neurons"][name]
        for step, fired in enumerate(steps):
            mark = "|" if neurons < 50 else "_"
            axis.plot(np.full(len(fired), step), fired, mark, color=STUDENT, markersize=6, rasterized=True, alpha=0.6)
        axis.set_title(name, fontsize=7)
        axis.set_xticks([0, len(steps) - 1])
        axis.set_yticks([0, neurons - 1])
        axis.set_xlim(-0.5, len(steps) - 0.5)
        axis.set_ylim(-0.5, neurons - 0.5)
        axis.tick_params(labelsize=6)
    figure.supxlabel("time step", fontsize=8)
    return figure


def picture(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What is drawn of `(C, H, W)` or `(F,)`: colours, the mean of other channels, or a row; of frames, their mean."""
    if pixels.ndim in (2, 4):
        pixels = pixels.mean(axis=0)
    if pixels.ndim == 1:
        return pixels[None]
    shown: npt.NDArray[Any] = np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels.mean(axis=0)
    return shown.astype(np.uint8) if shown.ndim == 3 else shown


def as_svg(figure: Figure) -> str:
    """The figure as text that an HTML page can hold."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
