"""Tables on any screen: every command that prints one shows all of its cells, and no number is cut."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from kdsnn.cli import common
from kdsnn.cli.app import app
from kdsnn.display import Table
from kdsnn.display.layout import lines_of
from tests.cli.conftest import Cli

SCREENS = (20, 40, 80, None)
# A call of each command that prints a table; RUN is a quantized run that was evaluated.
TABLES: dict[str, tuple[str, ...]] = {
    "compare": ("RUN", "-t", "gpu", "-t", "reference", "-n", "4"),
    "doctor": (),
    "energy": ("RUN", "-n", "4"),
    "evaluate": ("RUN", "-t", "all", "-n", "2"),
    "export": ("RUN", "--dry-run", "--hardware", "loihi1"),
    "list": ("evaluations", "RUN"),
    "noise": ("RUN", "--levels", "0.1", "-n", "4", "--seeds", "1"),
    "paper table1": (),
    "paper table2": (),
    "paper table3": (),
    "paper table4": (),
    "quantize": ("RUN", "--max-disagreement", "1"),
    "targets": (),
}
# And those that print lines alone, or nothing but what is in these tables.
LINES = {"convert", "demo", "distill", "figure", "recipe show", "recipe validate", "report", "setup lava", "teach"}


def commands(group: typer.Typer, prefix: str = "") -> Iterator[str]:
    for command in group.registered_commands:
        yield prefix + (command.name or command.callback.__name__.rstrip("_"))
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, f"{prefix}{inner.name} ")


def test_every_command_is_looked_at() -> None:
    assert set(commands(app)) == set(TABLES) | LINES


def figures(text: str) -> Counter[str]:
    """The numbers of a text, thousands' separators included."""
    return Counter(re.findall(r"\d[\d.,]*\d|\d", text))


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_cell_is_lost_and_no_number_cut(
    cli: Cli, run: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("evaluate", run, "-t", "reference", "-n", 4)
    printed: list[Table] = []

    def spied(table: Table, width: int | None = None) -> list[str]:
        printed.append(table)
        return [f"[[{len(printed) - 1}]]"]

    arguments = [str(run) if part == "RUN" else part for part in TABLES[name]]
    with monkeypatch.context() as patch:
        patch.setattr(common, "lines_of", spied)
        done = cli(*name.split(), *arguments)
    assert done.code in (0, 5, 6), done.err  # it does not fit, or Lava is not set up: the table is printed before
    assert printed, "it prints no table"
    for table in printed:
        heads = [" ".join(column.split()) for column in table.columns]
        assert len(set(heads)) == len(heads), "as records, they could not be told apart"
        for width in SCREENS:
            assert_whole(table, width)


def assert_whole(table: Table, width: int | None) -> None:
    """Every word of every cell is in the lines, and each line fits, but for words that are longer."""
    lines = lines_of(table, width)
    text = "\n".join(lines)
    rows = [[f"{c:,}" if isinstance(c, int) else "-" if c is None else str(c) for c in row] for row in table.rows]
    cells = [cell for row in rows for cell in row]
    for cell in cells:
        for word in cell.split():
            assert word in text or re.sub(r"-\s+", "-", text).count(word), (word, width)
    missing = figures(" ".join(cells)) - figures(text)
    assert not missing, (missing, width)
    if width is not None:
        longest = max((len(word) for word in text.split()), default=0)
        assert max(map(len, lines)) <= max(width, longest + 2)
    else:
        assert all(any(all(cell in line for cell in row) for line in lines) for row in rows)


def test_a_large_number_stands_whole_at_any_width() -> None:
    table = Table("sums", ("layer", "SynOps", "a long heading of words"), [("conv1", 3911104, "some words more")])
    for width in range(1, 90):
        assert "3,911,104" in "\n".join(lines_of(table, width)), width
    assert lines_of(table, 20)[1:] == [
        "",
        "layer: conv1",
        "SynOps: 3,911,104",
        "a long heading of",
        "  words: some words",
        "  more",
    ]
    assert lines_of(table)[-1] == " conv1  3,911,104  some words more"


def test_the_width_is_the_terminals_and_without_one_there_is_no_limit() -> None:
    command = [sys.executable, "-m", "kdsnn", "paper", "table4"]
    there = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    piped = subprocess.run(command, capture_output=True, text=True, check=True, env=there).stdout
    assert max(map(len, piped.splitlines())) > 100
    main, side = pty.openpty()
    with subprocess.Popen(command, stdout=side, env={**there, "COLUMNS": "40", "NO_COLOR": "1"}) as process:
        os.close(side)
        shown = b""
        try:
            while part := os.read(main, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert process.wait() == 0
    os.close(main)
    assert max(map(len, shown.decode().splitlines())) <= 40
    assert figures(piped) - figures(shown.decode()) == Counter()
