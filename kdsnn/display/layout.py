"""Where the characters of a table go: columns under each other, or a record a row where they have no room."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from kdsnn.display.blocks import Table, cell_text, is_numeric

__all__ = ["lines_of"]

GAP = "  "
KEPT = 20  # characters that a column of words keeps, however narrow the screen


def lines_of(table: Table, width: int | None = None) -> list[str]:
    """The lines of a table. No cell is ever cut: words are wrapped, numbers and names stand whole.

    Args:
        table: what to show.
        width: characters that a line may have; None is as many as it takes. One word may be longer.
    """
    cells = [[cell_text(cell) for cell in row] for row in table.rows]
    numeric = [is_numeric(column) for column in zip(*table.rows, strict=True)] or [False] * len(table.columns)
    heads = [column.split("\n") for column in table.columns]
    columns = [[*head, *(row[i] for row in cells)] for i, head in enumerate(heads)]
    widths = [max(map(len, column)) for column in columns]
    title = _wrapped(table.title, width) if table.title else []
    if width is not None:
        fitted = _fitted(widths, [_least(c, n) for c, n in zip(columns, numeric, strict=True)], width)
        if fitted is None:
            return [*title, *_records(table.columns, cells, width)]
        widths = fitted
    top = max((len(head) for head in heads), default=0)
    padded = [[*head, *[""] * (top - len(head))] for head in heads]
    lines = [_row([head[i] for head in padded], widths, numeric) for i in range(top)]
    lines.append(" " + "─" * (sum(widths) + len(GAP) * (len(widths) - 1)))
    for row in cells:
        wrapped = [_wrapped(cell, w) for cell, w in zip(row, widths, strict=True)]
        for i in range(max(map(len, wrapped), default=0)):
            lines.append(_row([part[i] if i < len(part) else "" for part in wrapped], widths, numeric))
    return [*title, "", *lines]


def _least(column: Sequence[str], numeric: bool) -> int:
    """As narrow as a column can be."""
    whole = max(map(len, column))
    longest = max((len(chunk) for text in column for chunk in _wrapped(text, 1)), default=0)
    return whole if numeric else max(longest, min(whole, KEPT))


def _fitted(widths: Sequence[int], least: Sequence[int], width: int) -> list[int] | None:
    """Widths of columns that fit, the widest made narrower; None where they cannot."""
    room = width - 1 - len(GAP) * (len(widths) - 1)
    if sum(least) > room:
        return None
    fitted = list(widths)
    while sum(fitted) > room:
        widest = max((i for i in range(len(fitted)) if fitted[i] > least[i]), key=fitted.__getitem__)
        fitted[widest] -= 1
    return fitted


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    shown = (c.rjust(w) if right else c.ljust(w) for c, w, right in zip(cells, widths, numeric, strict=True))
    return (" " + GAP.join(shown)).rstrip()


def _records(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row as lines of heading and cell, and an empty line before it."""
    lines = []
    for row in cells:
        lines.append("")
        for column, cell in zip(columns, row, strict=True):
            lines += _wrapped(f"{' '.join(column.split())}: {cell}", width, indent="  ")
    return lines


def _wrapped(text: str, width: int | None, indent: str = "") -> list[str]:
    """A text in lines, broken at spaces and after hyphens between words, and nowhere else."""
    if width is None or len(text) <= width:
        return [text]
    return wrap(text, max(width, 1), subsequent_indent=indent if width > len(indent) else "", break_long_words=False)
