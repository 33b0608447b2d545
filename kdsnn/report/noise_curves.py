"""Accuracy under noise as curves, drawn from the JSON of `kdsnn.noise.measure` alone, and the files that hold them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdsnn.errors import UsageError
from kdsnn.files.writing import write_atomic, write_json
from kdsnn.noise.measurements import record_name
from kdsnn.report.figures import OTHER, STUDENT, TEACHER, literal

__all__ = ["check_out", "draw", "write"]

FORMATS = (".png", ".svg", ".pdf")
WIDTH = 3  # panels beside each other
SPREAD = 20  # the largest level over the smallest, from which on the axis is logarithmic


def check_out(out: Path | None) -> None:
    """Raises UsageError where the curves cannot go: neither a folder nor a .png, .svg or .pdf."""
    if out is None or (out.suffix in FORMATS and not out.is_dir()):
        return
    if out.is_file() or (out.suffix and not out.is_dir()):
        raise UsageError(f"{out} is no figure and no folder", hint=f"figures end in {', '.join(FORMATS)}")


@literal
def write(data: Mapping[str, Any], run: Path, out: Path | None) -> Path:
    """Writes what was measured into the run, which keeps all its measurements, and its curves; returns their path.

    Args:
        data: the JSON of `kdsnn.noise.measure`.
        run: where the record goes, and the curves unless `out` says otherwise.
        out: a folder, for the curves and a copy of the record; or the file of the curves.
    """
    name = record_name(data)
    write_json(run / f"{name}.json", data)
    picture = run / f"{name}.png"
    if out is not None and out.suffix in FORMATS and not out.is_dir():
        picture = out
    elif out is not None:
        picture = out / "noise.png"
        write_json(out / "noise.json", data)
    buffer = io.BytesIO()
    kind = picture.suffix.removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    draw(data).savefig(buffer, format=kind, dpi=150, metadata=undated)
    write_atomic(picture, buffer.getvalue())
    return picture


@literal
def draw(data: Mapping[str, Any], width: float | None = None) -> Figure:
    """A panel for each kind of noise, a curve for each network, with the spread over the seeds.

    Args:
        data: the JSON of `kdsnn.noise.measure`.
        width: inches, for a column: panels under each other, and the legend below. None for three panels in a row.
    """
    noise = data["noise"]
    columns = min(len(noise), WIDTH) if width is None else 1
    rows = -(-len(noise) // columns)
    size = (3.8 * columns + 1.6, 3.2 * rows) if width is None else (width, 0.65 * width * rows + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    names = [network["name"] for network in data["networks"]]
    colours = _colours(names)
    for axes, kind in zip(panels, noise, strict=False):
        _panel(axes, kind, colours)
    for axes in panels[::columns]:
        axes.set_ylabel("accuracy (%)")
    for axes in panels[len(noise) :]:
        axes.remove()
    lines = {line.get_label(): line for axes in panels[: len(noise)] for line in axes.containers}
    shown = [name for name in names if name in lines]
    handles = [lines[name] for name in shown]
    if width is None:
        figure.legend(handles, shown, loc="outside right upper", frameon=False)
    else:
        figure.legend(handles, shown, loc="outside lower center", frameon=False)
    return figure


def _panel(axes: Axes, kind: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    for curve in kind["curves"]:
        points = [p for p in curve["points"] if p["mean"] is not None]
        axes.errorbar(
            [p["level"] for p in points],
            [100 * p["mean"] for p in points],
            yerr=[100 * (p["spread"] or 0) for p in points],
            label=curve["network"],
            color=colours[curve["network"]],
            linestyle="--" if curve["network"].endswith("float") else "-",
            marker="o",
            markersize=3,
            capsize=2,
        )
    levels = sorted({p["level"] for curve in kind["curves"] for p in curve["points"]} - {0})
    if levels and levels[-1] / levels[0] > SPREAD:
        axes.set_xscale("symlog", linthresh=levels[0])
        axes.xaxis.set_major_formatter("{x:g}")  # the usual one writes formulas
    axes.set_title(kind["kind"], fontsize=10)
    axes.set_xlabel(kind["level"], fontsize=8)
    axes.grid(alpha=0.3)


def _colours(names: list[str]) -> dict[str, str]:
    """One for each run, the teacher's apart."""
    titles = list(dict.fromkeys(name.rpartition(",")[0] for name in names if "," in name))
    of_title = dict(zip(titles, (STUDENT, OTHER), strict=False))
    return {name: of_title.get(name.rpartition(",")[0], TEACHER) for name in names}
