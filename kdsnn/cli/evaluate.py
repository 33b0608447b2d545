"""`kdsnn evaluate`: runs a network on a target and compares every spike and count with the reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdsnn.cli.common import (
    DatasetOption,
    DeviceOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
    OptionOption,
    PoolOption,
    SamplesOption,
    StockOption,
    TargetOption,
    TimeLimitOption,
    WorkersOption,
    emit_json,
    make_target,
    output,
    percent,
    progress_bar,
    table,
)

if TYPE_CHECKING:
    from kdsnn.evaluation import Evaluation

__all__ = ["evaluate", "register", "show"]


def evaluate(
    model: ModelArgument = None,
    target: TargetOption = "lava",
    dataset: DatasetOption = None,
    images: ImagesOption = None,
    samples: SamplesOption = None,
    dump: Annotated[
        Path | None, typer.Option("--dump", help="Write predictions, output spikes and spike counts to an .npz file.")
    ] = None,
    time_limit: TimeLimitOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    pool: PoolOption = None,
    stock: StockOption = False,
    option: OptionOption = None,
    json: JsonOption = False,
) -> None:
    """Run images on a target and compare every spike and every count with the reference (exit 4 if one differs).

    Examples:
      kdsnn evaluate --target lava --samples 100

      kdsnn evaluate model.nir --target gpu --images mine.npz --json

      kdsnn evaluate --target lava -n 20 --stock --time-limit 120

      kdsnn evaluate --target lava --pool tcp://host:8786
    """
    from contextlib import nullcontext

    from kdsnn.jobs.dask_workers import dask_pool
    from kdsnn.steps.evaluate import evaluate_model
    from kdsnn.steps.images import select_images
    from kdsnn.steps.models import open_model

    chosen = make_target(target, option, device, stock=stock, workers=workers)
    opened = open_model(model)
    x, y = select_images(opened, dataset=dataset, images=images, samples=samples)
    with (
        nullcontext() if pool is None else dask_pool(pool) as workers_there,
        progress_bar(f"{target}", len(x)) as progress,
    ):
        result = evaluate_model(opened, chosen, x, y, time_limit_s=time_limit, progress=progress, pool=workers_there)
    if dump is not None:
        _dump(dump, result)
    if json:
        emit_json(result.as_json())
    else:
        show(result)


def show(result: Evaluation) -> None:
    """Prints an evaluation."""
    columns = ["layer", "kind", "neurons", "spikes", "SynOps\ndense", "SynOps\neffective", "input\nMACs"]
    rows = [
        [x.name, x.kind, x.neurons, x.spikes, x.synops_dense, x.synops_effective, x.input_macs]
        for x in result.counts.layers
    ]
    table(f"{result.target}: {result.samples} images, T = {result.output_spikes.shape[1]}", columns, rows)
    output().print(
        f"accuracy {percent(result.accuracy)}, {result.samples / result.wall_s:.1f} images/s\n"
        f"matches the reference spike for spike in {len(result.compared)} populations, and in all counts",
        markup=False,
    )


def _dump(path: Path, result: Evaluation) -> None:
    import io

    import numpy as np

    from kdsnn.run_folders import write_atomic

    buffer = io.BytesIO()
    arrays: dict[str, Any] = result.arrays()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(evaluate)
