"""The HTML page of a report: one file that needs nothing else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kdsnn.files.writing import write_atomic
from kdsnn.report import figures, noise_curves
from kdsnn.report.collect import collect
from kdsnn.steps.models import Model, ModelLike, load

# Okabe and Ito's, which the colour-blind tell apart
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")

__all__ = ["render", "report", "template_of", "write_report"]


def report(model: ModelLike = None) -> Path:
    """Writes the report of a run, `report.json` and `report.html`, and returns the path of the page.

    Args:
        model: a model that belongs to a run; see `kdsnn.load`.

    Raises:
        InputError: there is no such run.
    """
    return write_report(load(model))


def write_report(model: Model) -> Path:
    """Writes `report.json` and `report.html` into the run, and returns the path of the page."""
    data = collect(model)
    assert model.run is not None  # noqa: S101  collect has checked it
    write_atomic(model.run / "report.json", json.dumps(data, indent=2).encode())
    path = model.run / "report.html"
    write_atomic(path, render(data).encode())
    return path


def render(data: dict[str, Any]) -> str:
    """The page, from the JSON alone. Every text in it is escaped."""
    template = template_of("page.html")
    by_samples = _grouped([row for row in data["accuracy"] if row["accuracy"] is not None], "samples")
    by_account = _grouped(data["energy"], "account")
    drawn = {
        "accuracy": [figures.accuracy_intervals(rows) for _, rows in sorted(by_samples.items(), reverse=True)],
        "curve": [] if data["curve"] is None else [figures.answers_in_time(data["curve"])],
        "layers": [figures.layer_bars(data["layers"])],
        "energy": [figures.energy_bars(reports) for reports in by_account.values()],
        "raster": [figures.raster(image) for image in data["images"]],
        "noise": [noise_curves.draw(measured) for measured in data["noise_measurements"]],
    }
    shown = {name: [Markup(figures.as_svg(one)) for one in several] for name, several in drawn.items()}  # noqa: S704  ours
    return template.render(report=data, figures=shown, colours=COLOURS)


def template_of(name: str) -> Template:
    """A template of this folder."""
    environment = Environment(
        loader=PackageLoader("kdsnn.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda x: "-" if x is None else f"{100 * x:.2f}%"
    environment.filters["shell"] = shlex.quote
    environment.filters["count"] = lambda x: f"{x:,.1f}"
    environment.filters["microjoule"] = lambda x: "-" if x is None else f"{1e6 * x:.4g}"
    return environment.get_template(name)


def _grouped(rows: Sequence[dict[str, Any]], key: str) -> dict[Any, list[dict[str, Any]]]:
    """Rows that may share an axis: those of one number of images, or of one unit of account."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups
