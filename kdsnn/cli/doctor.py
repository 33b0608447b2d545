"""`kdsnn doctor`: what is installed, what works, and what to do where something does not."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from kdsnn.cli.common import JsonOption, emit_json, table

if TYPE_CHECKING:
    from kdsnn.steps.doctor import Finding

__all__ = ["doctor", "register"]


def doctor(json: JsonOption = False) -> None:
    """Check this installation: versions, folders, extras, targets. Exit 6 if something is missing that all need."""
    from kdsnn.steps.doctor import diagnose

    findings = diagnose()
    if json:
        emit_json({"findings": [asdict(f) for f in findings]})
    else:
        rows = [[f.what, _state(f), f.detail, f.hint] for f in findings]
        table("kdsnn doctor", ["what", "state", "detail", "what to do"], rows)
    if not all(f.ok for f in findings if f.needed):
        raise typer.Exit(6)


def _state(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    return "MISSING" if finding.needed else "not here"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)
