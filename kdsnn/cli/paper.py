"""`kdsnn paper`: the tables of the paper, its figures beside ours."""

from __future__ import annotations

import typer

from kdsnn.cli.common import JsonOption, emit_json, output, table

__all__ = ["register", "table3"]

app = typer.Typer(no_args_is_help=True, help="The tables of the paper (CVPR 2023), its figures beside ours.")


@app.command()
def table3(json: JsonOption = False) -> None:
    """Table 3: parameters and operations of teachers and students, in millions; ours are counted now.

    Example: kdsnn paper table3
    """
    from kdsnn.paper import table3 as rows_of_table3

    rows = rows_of_table3()
    if json:
        emit_json({"schema": "kdsnn.paper-table3/1", "rows": [row.as_json() for row in rows]})
        return
    table(
        "Table 3, ANNs, in millions",
        ["images", "ANN", "parameters\npaper", "ours", "FLOPs\npaper", "ours", "MACs"],
        [[r.dataset, r.teacher, r.paper_parameters, r.parameters, r.paper_flops, r.flops, r.macs] for r in rows],
    )
    table(
        "Table 3, SNNs, in millions",
        ["images", "SNN", "parameters\npaper", "ours", "SynOps\npaper"],
        [[r.dataset, r.student, r.paper_student_parameters, r.student_parameters, r.paper_synops] for r in rows],
    )
    output().print(
        "FLOPs by the paper's convention: multiply-accumulates, and 4 for each element that a BatchNorm puts out.\n"
        "The paper's PyramidNet18 is not identified; ours is the nearest that was found (kdsnn/models/pyramidnet.py).\n"
        "The paper does not define its SynOps, which are far below spikes times fan-out: nothing of ours compares\n"
        "with them. kdsnn evaluate counts ours, of a trained run.",
        markup=False,
    )


def register(main: typer.Typer) -> None:
    """Adds the commands."""
    main.add_typer(app, name="paper")
