"""`kdsnn figure`: one figure of a run, for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdsnn.cli.common import DatasetOption, ImagesOption, ModelArgument, output

__all__ = ["figure", "register"]


def figure(
    name: Annotated[str, typer.Argument(help="One of kdsnn list figures.")],
    model: ModelArgument = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A .pdf, .svg or .png; left out: NAME.pdf.")] = None,
    width: Annotated[
        float, typer.Option(min=3, max=50, metavar="INCHES", help="3.25 is a column of a CVPR paper.")
    ] = 3.25,
    image: Annotated[
        int, typer.Option(min=0, metavar="N", help="Test image number N, from 0, for figures of one image.")
    ] = 0,
    dataset: DatasetOption = None,
    images: ImagesOption = None,
) -> None:
    """Draw a figure of a run, as wide as a paper's column.

    Those of the report, and the paper's 7 (noise-curves), 8 (noisy-images) and 9 (spike-sequence).

    Examples:
      kdsnn figure energy runs/mine -o energy.pdf

      kdsnn figure spike-sequence --image 7 -o sequence.svg

      kdsnn figure spike-sequence model.nir --dataset digits
    """
    from kdsnn.report.drawings import draw_figure

    file = Path(f"{name}.pdf") if out is None else out
    written = draw_figure(name, model, file, width=width, image=image, data=images, dataset=dataset)
    output().print(str(written), markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(figure)
