"""`kdsnn evaluate`: runs a network on a target and compares every spike and count with the reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdsnn.cli.common import (
    DataRangeOption,
    DatasetOption,
    DeviceOption,
    EncodeOption,
    ImagesOption,
    JsonOption,
    ModelArgument,
    OptionOption,
    PoolOption,
    SamplesOption,
    StockOption,
    TimeLimitOption,
    WorkersOption,
    emit_json,
    make_target,
    output,
    percent,
    progress_bar,
    range_of,
    show,
    table,
)

if TYPE_CHECKING:
    from kdsnn.errors import KdsnnError
    from kdsnn.evaluation import Curve, Evaluation
    from kdsnn.steps.images import Selection
    from kdsnn.steps.models import Model
    from kdsnn.targets.base import Target

__all__ = ["evaluate", "register"]

ALL = "all"


def evaluate(
    model: ModelArgument = None,
    target: Annotated[
        str, typer.Option("--target", "-t", help="Where to run it (kdsnn targets), or all: every machine in turn.")
    ] = "lava",
    dataset: DatasetOption = None,
    images: ImagesOption = None,
    samples: SamplesOption = None,
    encode: EncodeOption = None,
    data_range: DataRangeOption = None,
    dump: Annotated[
        Path | None, typer.Option("--dump", help="Write predictions, output spikes and spike counts to an .npz file.")
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Show the answers after each time step, and what stopping early saves.")
    ] = False,
    margin: Annotated[
        list[int] | None,
        typer.Option(
            "--margin", help="With --curve: a lead to stop at, in spikes or membrane potential (again for more)."
        ),
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

      kdsnn evaluate --target all --samples 20

      kdsnn evaluate --target gpu --curve --margin 2 --margin 5
    """
    from kdsnn.errors import UsageError
    from kdsnn.evaluation import Curve
    from kdsnn.steps.evaluations import identity_of
    from kdsnn.steps.images import select_images
    from kdsnn.steps.models import load

    if target == ALL:
        if any((dump, device, workers, pool, stock, option, curve, margin)):
            raise UsageError("--target all takes no options of one target, no pool, no dump and no curve")
        opened = load(model)
        _all(
            opened,
            select_images(
                opened, dataset=dataset, images=images, samples=samples, encode=encode, data_range=range_of(data_range)
            ),
            time_limit,
            json=json,
        )
        return
    chosen = make_target(target, option, device, stock=stock, workers=workers)
    opened = load(model)
    shown = select_images(
        opened, dataset=dataset, images=images, samples=samples, encode=encode, data_range=range_of(data_range)
    )
    asked = Curve(tuple(margin or ())) if curve or margin else None
    result = _one(opened, chosen, shown, asked, time_limit, pool)
    if dump is not None:
        _dump(dump, result)
    if json:
        emit_json({**result.as_json(), "identity": identity_of(chosen, shown.identity)})
    else:
        show(result)


def _one(
    model: Model,
    target: Target,
    shown: Selection,
    curve: Curve | None,
    time_limit_s: float | None,
    pool: str | None,
) -> Evaluation:
    from contextlib import nullcontext

    from kdsnn.jobs.dask_workers import dask_pool
    from kdsnn.steps.evaluate import evaluate_model

    with (
        nullcontext() if pool is None else dask_pool(pool) as workers_there,
        progress_bar(target.name, len(shown.images)) as progress,
    ):
        return evaluate_model(
            model, target, shown, curve=curve, time_limit_s=time_limit_s, progress=progress, pool=workers_there
        )


def _all(model: Model, shown: Selection, time_limit_s: float | None, *, json: bool) -> None:
    """Runs every target that can run here, prints one table, and fails where one computed something else."""
    from kdsnn.errors import KdsnnError, VerificationError
    from kdsnn.evaluation.edges import edges_of, verdict
    from kdsnn.steps.evaluate import evaluate_on_targets
    from kdsnn.steps.evaluations import identity_of
    from kdsnn.targets.registry import target_names

    names = target_names()
    targets = [make_target(name, None) for name in names]
    with progress_bar("all targets", len(targets) * len(shown.images)) as progress:
        outcomes = evaluate_on_targets(model, targets, shown, time_limit_s=time_limit_s, progress=progress)
    found = dict(zip(names, outcomes, strict=True))
    if json:
        emit_json(
            {
                "schema": "kdsnn.evaluations/1",
                "fingerprint": model.network.fingerprint(),
                "edges": edges_of(model.network),
                "targets": {
                    name: {"error": str(o), "exit_code": o.exit_code}
                    if isinstance(o, KdsnnError)
                    else {**o.as_json(), "identity": identity_of(target, shown.identity)}
                    for name, target, o in zip(names, targets, outcomes, strict=True)
                },
            }
        )
    else:
        columns = ["target", "images", "accuracy", "compared with the reference", "spikes", "images/s"]
        title = f"{model.network.name} {model.network.fingerprint()[:12]}: the same integer network on every machine"
        table(title, columns, [_row(name, outcome) for name, outcome in found.items()])
        for name, outcome in found.items():
            if isinstance(outcome, KdsnnError) and not isinstance(outcome, VerificationError):
                output().print(f"{name} did not run: {outcome}", markup=False, soft_wrap=True)
        edges = verdict(edges_of(model.network), "machines", "see the table")
        output().print(edges, markup=False, soft_wrap=True)
    differing = {name: o for name, o in found.items() if isinstance(o, VerificationError)}
    if differing:
        problems = [o.message for o in differing.values()]
        raise VerificationError(
            f"{len(differing)} of {len(found)} targets differ from the reference", problems=problems
        )


def _row(name: str, outcome: Evaluation | KdsnnError) -> list[Any]:
    from kdsnn.errors import KdsnnError, VerificationError

    if isinstance(outcome, VerificationError):
        return [name, None, None, "DIFFERS", None, None]
    if isinstance(outcome, KdsnnError):
        return [name, None, None, "did not run", None, None]
    compared = f"equal in {len(outcome.compared)} populations" if outcome.compared else "is the reference"
    spikes, speed = outcome.counts.total("spikes"), f"{outcome.samples / outcome.wall_s:.1f}"
    return [name, outcome.samples, percent(outcome.accuracy), compared, spikes, speed]


def _dump(path: Path, result: Evaluation) -> None:
    import io

    import numpy as np

    from kdsnn.files.writing import write_atomic

    buffer = io.BytesIO()
    arrays: dict[str, Any] = result.arrays()
    np.savez_compressed(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(evaluate)
