"""`kdsnn setup`: makes what a target needs."""

from __future__ import annotations

import typer

from kdsnn.cli.common import errors, output

__all__ = ["lava", "register"]

setup_app = typer.Typer(help="Make what a target needs.", no_args_is_help=True)


@setup_app.command()
def lava() -> None:
    """Make the Python 3.10 environment in which real Lava runs. Made once; a second call only checks it.

    It looks for a Python 3.10 in KDSNN_LAVA_PYTHON, on PATH and under pyenv, and else lets uv fetch one.
    """
    from kdsnn.targets.lava.environment import setup_environment

    environment = setup_environment(progress=errors().print)
    output().print(str(environment.python), markup=False, soft_wrap=True)


@setup_app.callback()
def _group() -> None:
    """Make what a target needs."""


def register(app: typer.Typer) -> None:
    """Adds the group of commands."""
    app.add_typer(setup_app, name="setup")
