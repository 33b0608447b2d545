"""`kdsnn report`: one self-contained HTML page about a run."""

from __future__ import annotations

from typing import Annotated

import typer

from kdsnn.cli.common import output

__all__ = ["register", "report"]


def report(
    run: Annotated[str | None, typer.Argument(help="Path or name of a run. Left out: the latest.")] = None,
) -> None:
    """Write report.html and report.json: accuracy, firing rates, SynOps, energy and a spike raster.

    Example: kdsnn report
    """
    from kdsnn.report.page import write_report
    from kdsnn.steps.models import load

    output().print(str(write_report(load(run))), markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(report)
