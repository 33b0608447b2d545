"""What the commands share: where output goes, the options that mean the same everywhere, and how errors are shown."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdsnn.choices import ENCODERS
from kdsnn.display import Displayed, Table, percent
from kdsnn.display.layout import lines_of
from kdsnn.errors import KdsnnError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from kdsnn.targets.base import Progress, Target

__all__ = [
    "DataRangeOption",
    "DatasetOption",
    "DeviceOption",
    "DisagreementOption",
    "EncodeOption",
    "ImagesOption",
    "JsonOption",
    "ModelArgument",
    "OptionOption",
    "OverridesOption",
    "PoolOption",
    "RecipeArgument",
    "SamplesOption",
    "SensorOption",
    "StockOption",
    "TargetOption",
    "TimeLimitOption",
    "WorkersOption",
    "emit_json",
    "errors",
    "make_target",
    "output",
    "percent",
    "progress_bar",
    "range_of",
    "screen_width",
    "sensor_of",
    "show",
    "show_error",
    "table",
]

ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[RUN|MODEL.nir]", help="A run, or an integer NIR file; the latest run."),
]
RecipeArgument = Annotated[str, typer.Argument(help="Name of a recipe (kdsnn list recipes), or path of a TOML file.")]
OverridesOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe: distill.alpha=0.5")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout and nothing else.")]
StockOption = Annotated[
    bool, typer.Option("--stock", help="For target lava: Intel's own process models, far slower. Same as -O stock=true")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="For target lava: simulations at once. Same as -O workers=..."),
]
PoolOption = Annotated[
    str | None,
    typer.Option(
        "--pool", metavar="ADDRESS", help="Use the workers of a Dask scheduler, such as tcp://host:8786 (extra dask)."
    ),
]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="Where to run it (kdsnn targets).")]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="For target gpu: auto, cpu, cuda or cuda:N. Same as -O device=...")
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option("--option", "-O", metavar="KEY=VALUE", help="An option of the target, such as lanes=4"),
]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="DATA", help="Take the test split of these data (docs/data.md).")
]
ImagesOption = Annotated[
    str | None,
    typer.Option("--images", metavar="DATA", help="Take all images of an .npz, an .npy or a folder (docs/data.md)."),
]
EncodeOption = Annotated[
    str | None,
    typer.Option(
        "--encode",
        help=f"How still images are shown ({', '.join(ENCODERS)}); as in the training, or direct.",
        autocompletion=ENCODERS.names,
    ),
]
DataRangeOption = Annotated[
    str | None,
    typer.Option(
        "--data-range", metavar="LO:HI", help="What becomes 0 and what becomes 255 in the data, if they do not say it."
    ),
]
SensorOption = Annotated[
    str | None,
    typer.Option(
        "--sensor", metavar="HxW", help="Height and width in pixels of the sensor, of recordings of events in a folder."
    ),
]
SamplesOption = Annotated[int | None, typer.Option("--samples", "-n", min=1, help="At most so many images.")]
TimeLimitOption = Annotated[
    float | None, typer.Option("--time-limit", min=0, metavar="SECONDS", help="Give up after so long (exit 7).")
]
DisagreementOption = Annotated[
    float,
    typer.Option("--max-disagreement", min=0, max=1, help="Share of predictions that may differ from the float net's."),
]


def output() -> Console:
    """The console for data, on stdout."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)  # whoever shows it wraps it; nothing is cut here


def errors() -> Console:
    """The console for messages, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def show_error(error: KdsnnError) -> None:
    """Prints an error to stderr, without markup or control characters from the data in it."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in str(error))
    print(f"error: {text}", file=sys.stderr)  # noqa: T201


def emit_json(data: Mapping[str, Any]) -> None:
    """Prints one JSON object to stdout."""
    print(json.dumps(data, indent=2))  # noqa: T201


def range_of(text: str | None) -> tuple[float, float] | None:
    """The two numbers of `LO:HI`.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise UsageError(
            f"--data-range {text!r} is not LO:HI", hint="two numbers, the smaller first, such as --data-range=-1:1"
        ) from None


def sensor_of(text: str | None) -> tuple[int, int] | None:
    """The two numbers of `HxW`.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise UsageError(f"--sensor {text!r} is not HxW", hint="height and width in pixels, such as --sensor 34x34")
    return int(height), int(width)


def screen_width() -> int | None:
    """Characters in a line of the terminal; None where stdout is none, and a line may be as long as it likes."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a table to stdout; numbers are set right, and None is a dash."""
    console = output()
    for line in (*lines_of(Table(title, columns, rows), screen_width()), ""):
        console.print(line, markup=False, soft_wrap=True)


def show(result: Displayed) -> None:
    """Prints a result to stdout."""
    for block in result.blocks():
        if isinstance(block, str):
            output().print(block, markup=False, soft_wrap=True)
        else:
            table(block.title, block.columns, block.rows)


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Progress]:
    """A progress bar on stderr; nothing where that is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = errors()
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)


def make_target(
    name: str,
    options: Sequence[str] | None,
    device: str | None = None,
    *,
    stock: bool = False,
    workers: int | None = None,
) -> Target:
    """The target of that name, made with options such as `lanes=4`, and with those that have flags of their own."""
    from kdsnn.targets.registry import load_target

    flags = {"device": device, "stock": "true" if stock else None, "workers": None if workers is None else str(workers)}
    pairs = {key: value for key, value in flags.items() if value is not None}
    for option in options or ():
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"option {option!r} is not KEY=VALUE")
        pairs[key] = value
    return load_target(name, pairs)
