"""The page with several runs side by side, on the same images, and a link to the report of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kdsnn.files.writing import write_atomic, write_json
from kdsnn.report.page import template_of, write_report
from kdsnn.run_folders import names_apart
from kdsnn.steps.compare import compare
from kdsnn.steps.models import Model

__all__ = ["write_side_by_side"]

PAGE, DATA = "side-by-side.html", "side-by-side.json"


def write_side_by_side(models: Sequence[Model]) -> Path:
    """Writes the report of each run, and into the folder of the first one page about all; returns its path.

    Args:
        models: of runs, two at least; they are compared on the test images of the first.

    Raises:
        InputError: one belongs to no run or was not evaluated, or they do not take the same images.
    """
    written = [write_report(model) for model in models]
    comparison = compare(*models).as_json()
    folder = written[0].parent
    links = [Path(os.path.relpath(path, folder)).as_posix() for path in written]
    names = names_apart([path.parent for path in written])
    pages = [{"name": name, "href": link} for name, link in zip(names, links, strict=True)]
    write_json(folder / DATA, comparison)
    write_atomic(folder / PAGE, template_of("side_by_side.html").render(comparison=comparison, pages=pages).encode())
    return folder / PAGE
