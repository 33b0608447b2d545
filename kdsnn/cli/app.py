"""The `kdsnn` command: puts the subcommands together."""

from __future__ import annotations

import os

import typer

from kdsnn.cli import (
    compare,
    convert,
    demo,
    distill,
    doctor,
    energy,
    evaluate,
    export,
    figure,
    list_,
    noise,
    paper,
    quantize,
    recipe,
    report,
    setup,
    targets,
    teach,
)

__all__ = ["app"]

EXIT_CODES = (
    "Exit codes: 0 ok, 1 a bug of ours, 2 usage, 3 bad input, 4 verification failed, 5 does not fit the target, "
    "6 target or pool not available, 7 timed out, 128+N ended by signal N, as 130 by Ctrl-C."
)

app = typer.Typer(
    name="kdsnn",
    help="Distil spiking networks from ANN teachers, and run them spike for spike on every neuromorphic target.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from kdsnn import __version__

        typer.echo(f"kdsnn {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show a traceback with an error (or KDSNN_DEBUG=1)."),
    _version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    if debug:
        os.environ["KDSNN_DEBUG"] = "1"


for module in (demo, convert, teach, distill, quantize, export, evaluate, compare, energy, noise, figure, report):
    module.register(app)
for module in (targets, doctor, setup, list_, recipe, paper):
    module.register(app)
