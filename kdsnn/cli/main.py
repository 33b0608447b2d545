"""The `kdsnn` command: puts the subcommands together, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import os
import sys

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
from kdsnn.cli.common import show_error
from kdsnn.errors import KdsnnError

__all__ = ["app", "main"]

EXIT_CODES = (
    "Exit codes: 0 ok, 1 a bug of ours, 2 usage, 3 bad input, 4 verification failed, 5 does not fit the target, "
    "6 target or pool not available, 7 timed out, 130 interrupted."
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


def main() -> None:
    """Runs the command line and exits with its code."""
    # Beside other load, threads that spin 300,000 times for each other lose most of their time (benchmarks/README.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    debug = "--debug" in sys.argv or os.environ.get("KDSNN_DEBUG") == "1"
    try:
        app()
    except KdsnnError as error:
        show_error(error)
        if debug:
            raise
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit stays quiet
        sys.exit(0)
    except Exception as error:
        from kdsnn.files.writing import fault_of_system

        if isinstance(error, OSError) and (fault := fault_of_system(error)) and not debug:
            show_error(fault)
            sys.exit(fault.exit_code)
        if debug:
            raise
        show_error(
            KdsnnError(
                f"{type(error).__name__}: {error}",
                hint="this is a bug in kdsnn: run again with --debug and report the traceback",
            )
        )
        sys.exit(1)
