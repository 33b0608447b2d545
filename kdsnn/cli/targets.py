"""`kdsnn targets`: the machines that can run a network, and whether they can here."""

from __future__ import annotations

import typer

from kdsnn.cli.common import JsonOption, emit_json, table

__all__ = ["register", "targets"]


def targets(json: JsonOption = False) -> None:
    """List the targets, and whether each can run here."""
    from kdsnn.targets.registry import probe_all

    found = probe_all()
    if json:
        emit_json({name: {"available": a.available, "detail": a.detail, "hint": a.hint} for name, a in found.items()})
        return
    rows = [[name, "yes" if a.available else "no", a.detail, a.hint] for name, a in found.items()]
    table("Targets", ["target", "available", "detail", "what to do"], rows)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(targets)
