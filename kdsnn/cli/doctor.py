"""`kdsnn doctor`: what is installed, what works, and what to do where something does not."""

from __future__ import annotations

import typer

from kdsnn.cli.common import JsonOption, emit_json, table

__all__ = ["doctor", "register"]


def doctor(json: JsonOption = False) -> None:
    """Check this installation: versions, folders, targets. Exit 6 if any is missing."""
    from kdsnn.doctor import diagnose

    findings = diagnose()
    if json:
        emit_json({"findings": [{"what": f.what, "ok": f.ok, "detail": f.detail, "hint": f.hint} for f in findings]})
    else:
        rows = [[f.what, "ok" if f.ok else "MISSING", f.detail, f.hint] for f in findings]
        table("kdsnn doctor", ["what", "state", "detail", "what to do"], rows)
    if not all(f.ok for f in findings):
        raise typer.Exit(6)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)
