"""The figures that `kdsnn figure` draws, for a column of a paper: those of the report, and noise curves.

What `kdsnn.choices.FIGURES` names takes what was asked and gives a figure; `paper_figures.py` has more of them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from kdsnn.choices import FIGURES
from kdsnn.errors import InputError, UsageError
from kdsnn.files.writing import write_atomic
from kdsnn.noise.measurements import judged as noise_judged
from kdsnn.report import figures, noise_curves
from kdsnn.report.collect import collect
from kdsnn.report.noise_curves import FORMATS
from kdsnn.report.shown import one_image
from kdsnn.run_folders import RECIPE
from kdsnn.steps.models import Model, ModelLike, load

__all__ = ["COLUMN", "Asked", "Drawing", "accuracy", "curves", "draw_figure", "energy", "layers", "raster"]

COLUMN = 3.25  # inches: a column of a CVPR paper, whose text is 10 points
NARROWEST, WIDEST = 3.0, 50.0  # inches: below, panels that stand side by side have no room for their axes
EDGE = 0.02  # inches over the edge that nobody sees
STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7,
    "legend.fontsize": 6,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "kdsnn",
    **figures.LITERAL,
}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # the same figure is the same file


@dataclass(frozen=True)
class Asked:
    """What a figure is drawn of.

    Attributes:
        model: of a run, or of a file for figures that need nothing else.
        width: of the figure, in inches.
        image: number of a test image.
        data: that the image is of, see `kdsnn.evaluate`; None takes the model's own test images.
        dataset: likewise.
    """

    model: Model
    width: float = COLUMN
    image: int = 0
    data: object = None
    dataset: object = None

    @cached_property
    def report(self) -> dict[str, Any]:
        """The report of the run."""
        self.ensure_own_images()
        return collect(self.model)

    @cached_property
    def one_image(self) -> dict[str, Any]:
        """The image: pixels, label, and who fired when."""
        return one_image(self.model, self.image, self.data, dataset=self.dataset)

    def ensure_own_images(self) -> None:
        """Raises UsageError where other images were named than those that the run was evaluated on."""
        if self.data is not None or self.dataset is not None:
            raise UsageError(
                "this figure is of what the run was evaluated on", hint="leave out the images: only figures of one ask"
            )


Drawing = Callable[[Asked], Figure]


def draw_figure(
    name: str,
    model: ModelLike,
    out: Path,
    *,
    width: float = COLUMN,
    image: int = 0,
    data: object = None,
    dataset: object = None,
) -> Path:
    """Draws a figure of a run into a file, and returns its path.

    Args:
        name: one of `kdsnn list figures`.
        model: see `kdsnn.load`.
        out: a .pdf, .svg or .png.
        width: inches, 3 at least.
        image: number of a test image, for figures of one.
        data: see `kdsnn.evaluate`, for figures of one image; None takes the model's own test images.
        dataset: likewise.

    Raises:
        UsageError: there is no such figure, it is of no image that data name, the file has another ending, or what
            is drawn has no room in this width.
        InputError: the run has not what is drawn yet.
    """
    drawing: Drawing = FIGURES.get(name)
    if out.suffix not in FORMATS:
        raise UsageError(f"{out} is no figure", hint=f"figures end in {', '.join(FORMATS)}")
    if not NARROWEST <= width <= WIDEST:
        said = f"a figure is {NARROWEST:g} to {WIDEST:g} inches wide, not {width:g}"
        raise UsageError(said, hint=f"{COLUMN} is a column of a CVPR paper")
    buffer = io.BytesIO()
    kind = out.suffix.removeprefix(".")
    with mpl.rc_context(STYLE):
        drawn = _whole(drawing, Asked(load(model), width, image, data, dataset))
        if drawn is None:
            said = f"{width:g} inches are too narrow for the figure {name!r} of this network: it would be cut"
            raise UsageError(said, hint="give it more: --width")
        drawn.savefig(buffer, format=kind, dpi=300, metadata=UNDATED.get(kind))
    write_atomic(out, buffer.getvalue())
    return out


def _whole(drawing: Drawing, asked: Asked) -> Figure | None:
    """The figure as wide as asked; None where its axes find no room, or a text goes over the edge."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "constrained_layout not applied")
        try:
            figure = drawing(asked)
            figure.set_figwidth(asked.width)
            figure.draw_without_rendering()
        except UserWarning:
            return None
    box = figure.get_tightbbox()  # of all that is drawn, in inches
    return figure if box.x0 >= -EDGE and box.x1 <= asked.width + EDGE else None


def accuracy(asked: Asked) -> Figure:
    """Accuracy of teacher, student, integer network and targets, on the most images that were evaluated."""
    rows = [row for row in asked.report["accuracy"] if row["accuracy"] is not None]
    if not rows:
        raise InputError("nothing was evaluated on images with labels", hint=f"run: kdsnn evaluate {asked.model.run}")
    most = max(row["samples"] for row in rows)
    return figures.accuracy_intervals([row for row in rows if row["samples"] == most], asked.width)


def layers(asked: Asked) -> Figure:
    """Firing rate and synaptic operations of each layer."""
    return figures.layer_bars(asked.report["layers"], asked.width)


def energy(asked: Asked) -> Figure:
    """Energy per sample of a chip under each model that knows it, static hatched."""
    reports = [r for r in asked.report["energy"] if r["static"] is not None]
    if not reports:
        raise InputError(
            "no energy model with a chip knows the whole energy of this network",
            hint=f"kdsnn energy {asked.model.run} names what is missing",
        )
    return figures.energy_bars(reports, asked.width)


def raster(asked: Asked) -> Figure:
    """One test image, and the neurons that fired on it, population by population."""
    return figures.raster(asked.one_image, asked.width)


def curves(asked: Asked) -> Figure:
    """Accuracy under noise, as the paper's figure 7: of the measurement on the most images and seeds."""
    asked.ensure_own_images()
    run = asked.model.run
    if run is None or not (run / RECIPE).is_file():
        raise InputError(
            f"{run or asked.model.path} has no teacher and student that noise could be measured on",
            hint="draw this figure of a run that kdsnn distill made",
        )
    measured = [m for m, why_not in noise_judged(asked.model) if why_not is None]
    if not measured:
        raise InputError("the run has no measurement under noise", hint=f"run: kdsnn noise {run}")
    return noise_curves.draw(max(measured, key=lambda m: m["samples"] * m["seeds"]), asked.width)
