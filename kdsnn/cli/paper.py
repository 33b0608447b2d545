"""`kdsnn paper`: the tables of the paper, its figures beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdsnn.cli.common import JsonOption, OverridesOption, PoolOption, emit_json, errors, output, table
from kdsnn.errors import UsageError

if TYPE_CHECKING:
    from kdsnn.paper.runs import Result
    from kdsnn.recipes.paper_rows import Figures

__all__ = ["register", "table1", "table2", "table3", "table4"]

app = typer.Typer(no_args_is_help=True, help="The tables of the paper (CVPR 2023), its figures beside ours.")

RunOption = Annotated[bool, typer.Option("--run", help="Train what is missing; what was interrupted goes on.")]
SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Train every row on tiny made-up data, to see that all of it runs.")
]
PublishedOption = Annotated[
    bool, typer.Option("--as-published", help="The paper's losses on the rates, not the settings that gained.")
]
RowsOption = Annotated[
    list[str] | None, typer.Option("--rows", metavar="NAME", help="Only these rows: names, * for anything.")
]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes of this machine that train at a time.")]


@app.command()
def table1(
    run: RunOption = False,
    smoke: SmokeOption = False,
    as_published: PublishedOption = False,
    rows: RowsOption = None,
    workers: WorkersOption = 1,
    pool: PoolOption = None,
    overrides: OverridesOption = None,
    json: JsonOption = False,
) -> None:
    """Table 1: accuracy on CIFAR-10, and of the same losses on MNIST, Fashion-MNIST and mnist5k.

    Examples:
      kdsnn paper table1

      kdsnn paper table1 --run --rows 'cifar10-wrn16-2-*' --workers 2

      kdsnn paper table1 --run --rows 'mnist5k-*' --set seed=1

      kdsnn paper table1 --run --pool tcp://host:8786
    """
    _accuracies(
        "table1", "Table 1, accuracy in %, T = 4", run, smoke, as_published, rows, workers, pool, overrides, json
    )


@app.command()
def table2(
    run: RunOption = False,
    smoke: SmokeOption = False,
    as_published: PublishedOption = False,
    rows: RowsOption = None,
    workers: WorkersOption = 1,
    pool: PoolOption = None,
    overrides: OverridesOption = None,
    json: JsonOption = False,
) -> None:
    """Table 2: accuracy under noise: Gaussian on the test images of CIFAR-10, and the noisy variants of MNIST.

    Example: kdsnn paper table2 --run --rows 'mnist5k-*'
    """
    _accuracies(
        "table2", "Table 2, accuracy under noise in %", run, smoke, as_published, rows, workers, pool, overrides, json
    )


@app.command()
def table3(json: JsonOption = False) -> None:
    """Table 3: parameters and operations of teachers and students, in millions; ours are counted now.

    Example: kdsnn paper table3
    """
    from kdsnn.paper.table3 import table3 as rows_of_table3

    rows = rows_of_table3()
    if json:
        emit_json({"schema": "kdsnn.paper-table3/1", "rows": [row.as_json() for row in rows]})
        return
    table(
        "Table 3, ANNs, in millions",
        ["images", "ANN", "parameters\npaper", "parameters\nours", "FLOPs\npaper", "FLOPs\nours", "MACs"],
        [[r.dataset, r.teacher, r.paper_parameters, r.parameters, r.paper_flops, r.flops, r.macs] for r in rows],
    )
    table(
        "Table 3, SNNs, in millions",
        ["images", "SNN", "parameters\npaper", "parameters\nours", "SynOps\npaper", "SynOps\nours"],
        [
            [
                *(r.dataset, r.student, r.paper_student_parameters, r.student_parameters),
                *(r.paper_synops, "not run" if r.synops is None else r.synops),
            ]
            for r in rows
        ],
    )
    output().print(
        "FLOPs by the paper's convention: multiply-accumulates, and 4 for each element that a BatchNorm puts out.\n"
        "The paper's PyramidNet18 is not identified; ours is the nearest that was found (kdsnn/models/pyramidnet.py).\n"
        "The paper does not define its SynOps, which are far below spikes times fan-out: ours (synops_dense, of an\n"
        "image, counted by kdsnn evaluate in a trained run) do not compare with them.",
        markup=False,
    )


@app.command()
def table4(
    run: RunOption = False,
    smoke: SmokeOption = False,
    as_published: PublishedOption = False,
    rows: RowsOption = None,
    workers: WorkersOption = 1,
    pool: PoolOption = None,
    overrides: OverridesOption = None,
    json: JsonOption = False,
) -> None:
    """Table 4: against other ways to a spiking network; theirs as the paper quotes them, ours where it was run.

    Example: kdsnn paper table4
    """
    from kdsnn.recipes.paper_rows import OTHERS

    _accuracies(
        "table4", "Table 4, KDSNN, accuracy in %, T = 4", run, smoke, as_published, rows, workers, pool, overrides, json
    )
    if not json:
        table(
            "Table 4, other methods, as the paper quotes them",
            ["images", "method", "ANN", "SNN", "ANN\n%", "SNN\n%", "time\nsteps"],
            [[*other[:4], *map(_shown, other[4:6]), other[6]] for other in OTHERS],
        )


def _accuracies(
    name: str,
    title: str,
    run: bool,
    smoke: bool,
    as_published: bool,
    patterns: Sequence[str] | None,
    workers: int,
    pool: str | None,
    overrides: Sequence[str] | None,
    json: bool,
) -> None:
    """Runs what is missing, where it is asked for, and shows the rows."""
    from kdsnn.paper.runner import run_rows
    from kdsnn.paper.runs import collect, select_rows
    from kdsnn.paper.smoke import SMOKE

    if pool is not None and workers != 1:
        raise UsageError("--workers are processes of this machine, and a pool has workers of its own: give one of them")
    rows = select_rows(name, patterns or ())
    changes = [*(SMOKE if smoke else ()), *(overrides or ())]
    with _data(smoke=smoke):
        if run or smoke:
            run_rows(
                rows,
                changes,
                as_published=as_published,
                workers=workers,
                scheduler=pool,
                tell=lambda line: errors().print(line, markup=False),
            )
        results = collect(rows, changes, as_published=as_published)
    if json:
        said = {"schema": f"kdsnn.paper-{name}/1", "smoke": smoke, "as_published": as_published}
        emit_json({**said, "rows": [r.as_json() for r in results]})
        return
    columns = [
        "row",
        *(f"{what}\n{whose}" for what in ("teacher", "SNN", "KDSNN", "gain") for whose in ("paper", "ours")),
    ]
    table(title, [*columns, "seeds"], [[r.row.name, *_cells(r), r.seeds] for r in results])
    ran = sum(r.ours.distilled is not None for r in results)
    settings = "as published" if as_published else "with our settings"
    output().print(f"{ran} of {len(results)} rows run, {settings}.", markup=False)
    if smoke:
        output().print("Smoke test: random images, tiny models, one epoch. The accuracies of ours say nothing.")


@contextmanager
def _data(*, smoke: bool) -> Iterator[None]:
    from kdsnn.paper.smoke import smoke_data

    if smoke:
        with smoke_data():
            yield
    else:
        yield


def _cells(result: Result) -> list[str]:
    paper, ours = result.row.paper, result.ours
    pairs = zip(_figures(paper), _figures(ours), strict=True)
    return [cell for theirs, mine in pairs for cell in (_shown(theirs), "not run" if mine is None else _shown(mine))]


def _figures(figures: Figures | None) -> tuple[float | None, ...]:
    if figures is None:
        return (None,) * 4
    return figures.teacher, figures.alone, figures.distilled, figures.gain


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}"


def register(main: typer.Typer) -> None:
    """Adds the commands."""
    main.add_typer(app, name="paper")
