"""`kdsnn report`: one self-contained HTML page about a run."""

from __future__ import annotations

from typing import Annotated

import typer

from kdsnn.cli.common import output
from kdsnn.errors import UsageError

__all__ = ["register", "report"]


def report(
    run: Annotated[list[str] | None, typer.Argument(help="Path or name of a run. Left out: the latest.")] = None,
    *,
    opened: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
) -> None:
    """Write report.html and report.json: verdict, accuracy, layers, energy, cores and spike rasters, on one page.

    Examples:
      kdsnn report

      kdsnn report runs/mine --open

      kdsnn report runs/mine runs/other   # each, and a page with both side by side
    """
    import webbrowser

    from kdsnn.report.page import write_report
    from kdsnn.report.side_by_side import write_side_by_side
    from kdsnn.steps.models import load

    models = [load(each) for each in run] if run else [load(None)]
    page = write_report(models[0]) if len(models) == 1 else write_side_by_side(models)
    output().print(str(page), markup=False, soft_wrap=True)
    if opened and not webbrowser.open(page.absolute().as_uri()):
        raise UsageError("no browser can be started here", hint=f"open {page} in one")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(report)
