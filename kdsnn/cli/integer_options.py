"""The options of commands that make an integer network: its widths, and how its scales are chosen."""

from __future__ import annotations

from typing import Annotated

import typer

from kdsnn.choices import METHODS

__all__ = ["InputBitsOption", "MethodOption", "WeightBitsOption"]

WeightBitsOption = Annotated[
    int | None,
    typer.Option(metavar="BITS", help="Left out: as the recipe says, or 8. Above 8 two synapses carry a weight."),
]
InputBitsOption = Annotated[int | None, typer.Option(min=1, max=8, help="Left out: chosen by the error it makes.")]
MethodOption = Annotated[
    str | None,
    typer.Option(
        help=f"How scales are chosen ({', '.join(METHODS)}); as the recipe says, or spikes.",
        autocompletion=METHODS.names,
    ),
]
