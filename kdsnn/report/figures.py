"""The figures of a report, drawn from its JSON alone, as wide as asked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import EngFormatter, MaxNLocator

__all__ = [
    "LITERAL",
    "OTHER",
    "STUDENT",
    "TEACHER",
    "accuracy_intervals",
    "answers_in_time",
    "as_svg",
    "energy_bars",
    "layer_bars",
    "literal",
    "picture",
    "raster",
]

TEACHER, STUDENT, OTHER = "#8a8f98", "#3b82c4", "#d9822b"  # told apart by the colour-blind, on white and on black
OTHER_TEXT = "#808080"
MOST_ROWS = 128  # of a raster: of larger populations, neurons side by side share one
WIDTH = 5.2  # inches: then letters can be read on a phone, too
GAP = 4  # pixels of 1/100 inch, at least, between a number and the frame
LITERAL: Any = {"text.parse_math": False}  # names of classes and layers are no formulas, whatever is in them
literal = rc_context(LITERAL)  # around what makes texts: a text asks for the setting when it is made
_SEEN = LinearSegmentedColormap.from_list("seen", [f"{STUDENT}10", STUDENT])  # whatever the page's colour below it
_BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 8}


@literal
def accuracy_intervals(rows: Sequence[dict[str, Any]], width: float = WIDTH) -> Figure:
    """Accuracies on the same number of images, each a point with its 95 % interval. No bars: the axis has no zero."""
    figure = Figure(figsize=(width, 0.3 * len(rows) + 0.6), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        colour = TEACHER if "teacher" in row["what"] else STUDENT
        axes.plot([100 * row["low"], 100 * row["high"]], [place, place], color=colour, linewidth=2)
        axes.plot([100 * row["accuracy"]], [place], "o", color=colour)
        axes.annotate(f"{100 * row['accuracy']:.2f}", (100 * row["high"], place), (4, 0), **_BESIDE)
    axes.set_yticks(range(len(rows)), [row["what"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.15)
    axes.grid(axis="x", color=OTHER_TEXT, alpha=0.25)
    figure.supxlabel(f"accuracy (%) with 95 % interval, {rows[0]['samples']:,} images", fontsize="medium")
    _make_room(axes)
    return figure


@literal
def answers_in_time(curve: dict[str, Any], width: float = WIDTH) -> Figure:
    """Accuracy after each time step, the share of answers that are final, and rules to stop by as points."""
    figure = Figure(figsize=(width, 2.6), layout="constrained")
    axes = figure.add_subplot()
    steps = np.arange(1, len(curve["agreement_by_step"]) + 1)
    if curve["accuracy_by_step"]:
        axes.plot(steps, 100 * np.array(curve["accuracy_by_step"]), color=STUDENT, label="accuracy")
        points = [(stop["mean_steps"], 100 * stop["accuracy"]) for stop in curve["stops"]]
        axes.plot(*zip(*points, strict=True), "o", color=OTHER, label="stopping early, at the mean step")
    axes.plot(steps, 100 * np.array(curve["agreement_by_step"]), "--", color=TEACHER, label="answers that are final")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("after time step")
    axes.set_ylabel(f"% of {curve['samples']:,} images")
    axes.grid(color=OTHER_TEXT, alpha=0.25)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=8)
    return figure


@literal
def layer_bars(layers: Sequence[dict[str, Any]], width: float = WIDTH) -> Figure:
    """Firing rate and synaptic operations of each layer."""
    figure = Figure(figsize=(width, 0.3 * len(layers) + 1.0), layout="constrained")
    rates, synops = figure.subplots(1, 2, sharey=True)
    names = [layer["name"] for layer in layers]
    rates.barh(names, [100 * layer["firing_rate"] for layer in layers], color=STUDENT)
    rates.set_xlabel("firing rate (% per step)")
    rates.invert_yaxis()
    position = np.arange(len(layers))
    synops.barh(position - 0.2, [x["synops_dense_per_sample"] for x in layers], 0.4, color=STUDENT, label="SynOps")
    synops.barh(position + 0.2, [x["input_macs_per_sample"] for x in layers], 0.4, color=OTHER, label="input MACs")
    synops.xaxis.set_major_locator(MaxNLocator(3))
    synops.xaxis.set_major_formatter(EngFormatter(sep=""))
    synops.set_xlabel("operations per sample")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure


@literal
def energy_bars(reports: Sequence[dict[str, Any]], width: float = WIDTH) -> Figure:
    """Energy per sample under models of one account: dynamic, static hatched, and the teacher's where it is known.

    A model that knows no dynamic energy has no bar.
    """
    known = [r for r in reports if r["dynamic_j_per_sample"] is not None]
    figure = Figure(figsize=(width, 0.55 * max(1, len(known)) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    position = np.arange(len(known))
    teacher = [1e6 * (r["teacher_j_per_sample"] or np.nan) for r in known]
    beside = 0.2 if not np.isnan(teacher).all() else 0  # two bars a model, or one in the middle
    dynamic = np.array([1e6 * r["dynamic_j_per_sample"] for r in known])
    static = np.array([1e6 * r["static"]["alone_j_per_sample"] if r["static"] else 0.0 for r in known])
    axes.barh(position - beside, dynamic, 0.4, color=STUDENT, label="student, dynamic")
    if static.any():
        label = "student, static (a sample alone)"
        some = static > 0
        at, left = position[some] - beside, dynamic[some]
        axes.barh(at, static[some], 0.4, left=left, color="none", edgecolor=STUDENT, hatch="///", label=label)
    for place, energy, joules in zip(position, known, dynamic + static, strict=True):
        whole = "" if energy["total_j_per_sample"] is not None else " + unknown"
        axes.annotate(f"{joules:.3g}{whole}", (joules, place - beside), (3, 0), textcoords="offset points", va="center")
    if beside:
        bars = axes.barh(position + beside, teacher, 0.4, color=TEACHER, label="teacher's multiply-accumulates")
        axes.bar_label(bars, labels=["" if np.isnan(t) else f"{t:.3g}" for t in teacher], padding=3)
    axes.set_yticks(position, [r["model"] for r in known])
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlabel("estimated energy (µJ per sample)")
    figure.legend(loc="outside upper left", frameon=False, fontsize=8)
    _make_room(axes)
    return figure


@literal
def raster(image: dict[str, Any], width: float = WIDTH) -> Figure:
    """One image, and the neurons that fired on it, population by population: steps across, neurons up."""
    names = list(image["spikes"])
    columns = min(len(names) + 1, 4)
    rows = -(-(len(names) + 1) // columns)
    figure = Figure(figsize=(width, 1.7 * rows + 0.2), layout="constrained")
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(names) + 1)]
    axes[0].imshow(picture(np.array(image["pixels"])), cmap="gray", interpolation="nearest")
    axes[0].axis("off")
    if image.get("frames", 1) > 1:
        axes[0].set_title(f"mean of {image['frames']} frames", fontsize=7)
    for axis, name in zip(axes[1:], names, strict=True):
        steps, neurons = image["spikes"][name], image["neurons"][name]
        fired = np.zeros((min(neurons, MOST_ROWS), len(steps)))
        for step, which in enumerate(steps):
            np.add.at(fired, (np.array(which, dtype=int) * len(fired) // neurons, step), 1)
        share = fired / (neurons / len(fired))
        axis.imshow(
            share,
            aspect="auto",
            cmap=_SEEN,
            vmin=0,
            vmax=max(1e-9, share.max()),
            origin="lower",
            extent=(-0.5, len(steps) - 0.5, -0.5, neurons - 0.5),  # a number stands at the middle of its neuron
            interpolation="nearest",
        )
        axis.set_title(f"{name}\n{neurons:,}", fontsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axis.tick_params(labelsize=6)
        axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    figure.supxlabel("time step (from 0)", fontsize=7)
    return figure


def picture(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What is drawn of `(C, H, W)` or `(F,)`: colours, the mean of other channels, or one row; in time, of the mean."""
    if pixels.ndim in (2, 4):
        pixels = pixels.mean(axis=0) / 255
    if pixels.ndim == 1:
        return pixels[None]
    picture: npt.NDArray[Any] = np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels.mean(axis=0)
    return picture


def _make_room(axes: Axes) -> None:
    """Moves the right end of an axis until each number beside a point or bar stands inside the frame."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # now everything has a size
    left, right = axes.get_xlim()
    width = axes.get_window_extent().width
    for text in axes.texts:
        if isinstance(text, Annotation) and text.get_text():
            x = text.xy[0]
            beyond = text.get_window_extent().x1 - axes.transData.transform((x, 0))[0]
            right = max(right, left + (x - left) * width / max(width - beyond - GAP, width / 10))
    axes.set_xlim(left, right)


def as_svg(figure: Figure) -> str:
    """The figure as text that an HTML page can hold."""
    buffer = io.StringIO()
    letters: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "kdsnn",
        **LITERAL,
    }  # as letters, which take the page's colour
    with rc_context(letters):
        figure.savefig(buffer, format="svg", dpi=150, transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
