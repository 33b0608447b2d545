"""`kdsnn setup`: makes what a target needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from kdsnn.cli.common import errors, output

if TYPE_CHECKING:
    from kdsnn.targets.processes.environments import Needed

__all__ = ["lava", "nengo_loihi", "register"]

setup_app = typer.Typer(help="Make what a target needs.", no_args_is_help=True)


@setup_app.command()
def lava() -> None:
    """Make the Python 3.10 environment in which real Lava runs. Made once; a second call only checks it.

    It looks for a Python 3.10 in KDSNN_LAVA_PYTHON, on PATH and under pyenv, and else lets uv fetch one.
    """
    from kdsnn.targets.lava.environment import LAVA

    _make(LAVA)


@setup_app.command()
def nengo_loihi() -> None:
    """Make the Python 3.10 environment in which nengo-loihi runs. Made once; a second call only checks it.

    It looks for a Python 3.10 in KDSNN_NENGO_LOIHI_PYTHON, on PATH and under pyenv, and else lets uv fetch one.
    """
    from kdsnn.targets.nengo_loihi.environment import NENGO_LOIHI

    _make(NENGO_LOIHI)


@setup_app.callback()
def _group() -> None:
    """Make what a target needs."""


def register(app: typer.Typer) -> None:
    """Adds the group of commands."""
    app.add_typer(setup_app, name="setup")


def _make(needed: Needed) -> None:
    from kdsnn.targets.processes.environments import set_up

    environment = set_up(needed, progress=errors().print)
    output().print(str(environment.python), markup=False, soft_wrap=True)
