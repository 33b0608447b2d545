"""The options of commands that take a NIR file of anybody's: what such a file leaves open."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kdsnn.choices import WRITERS

__all__ = [
    "CalibrateOption",
    "ExpectOption",
    "InTimeOption",
    "Reset",
    "ResetOption",
    "ScaleOption",
    "StepOption",
    "StepsOption",
    "TieOption",
    "WriterOption",
]


class Reset(StrEnum):
    """What neurons do at a spike."""

    zero = "zero"
    subtract = "subtract"
    none = "none"


CalibrateOption = Annotated[
    str | None,
    typer.Option("--calibrate", metavar="DATA", help="NIR: data to calibrate on and to be tested on (docs/data.md)."),
]
StepsOption = Annotated[
    int | None,
    typer.Option("-T", "--timesteps", min=1, help="NIR: time steps of an image; as the data have, or 4."),
]
InTimeOption = Annotated[
    bool, typer.Option("--in-time", help="NIR: each step has a frame of its own; data in time say it themselves.")
]
StepOption = Annotated[
    float | None, typer.Option("--dt", help="NIR: seconds in a time step; needed where a neuron leaks.")
]
ScaleOption = Annotated[
    float, typer.Option("--input-scale", help="NIR: what the writer's net saw for a pixel of 1; 1 / 255.")
]
TieOption = Annotated[
    bool | None,
    typer.Option(
        "--fires-at-threshold/--fires-above-threshold",
        help="NIR: the writer's neurons fire at v >= threshold, or at v >; as the writer's do.",
    ),
]
ResetOption = Annotated[
    Reset | None, typer.Option("--reset", help="NIR: what the writer's neurons did at a spike, where files do not say.")
]
WriterOption = Annotated[
    str | None,
    typer.Option(
        "--writer",
        help=f"NIR: who wrote the file ({', '.join(WRITERS)}): what its files always mean.",
        autocompletion=WRITERS.names,
    ),
]
ExpectOption = Annotated[
    Path | None,
    typer.Option(
        "--expect",
        metavar="FILE.npz",
        help="NIR: images and what the writer's own simulator did: must be equal (exit 4).",
    ),
]
