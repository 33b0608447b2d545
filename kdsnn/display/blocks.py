"""Tables and lines of text, as the command line prints them and a notebook shows them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Block", "Displayed", "Table", "cell_text", "is_numeric", "percent"]


@dataclass(frozen=True)
class Table:
    """Rows under headings; None is shown as a dash, and a line break in a heading is one.

    Attributes:
        title: of the table.
        columns: the headings.
        rows: as many cells each as there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


Block = Table | str


class Displayed(ABC):
    """A result that says what it looks like: the command line prints its blocks, and so do `print` and a notebook."""

    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """What is shown, from top to bottom."""

    def __str__(self) -> str:
        return "\n\n".join(_text(block) for block in self.blocks())

    def _repr_html_(self) -> str:
        return "".join(_html(block) for block in self.blocks())


def percent(value: float | None) -> str:
    """`0.9712` as `97.12%`."""
    return "-" if value is None else f"{100 * value:.2f}%"


def cell_text(cell: Any) -> str:
    """A cell as it is shown."""
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def is_numeric(column: Sequence[Any]) -> bool:
    """Whether a column is set right."""
    return bool(column) and all(isinstance(cell, int | float | None) for cell in column)


def _text(block: Block) -> str:
    """A table with its columns under each other, however wide."""
    from kdsnn.display.layout import lines_of

    return block if isinstance(block, str) else "\n".join(lines_of(block))


def _html(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block).replace(chr(10), '<br>')}</p>"
    sides = ["right" if is_numeric(column) else "left" for column in zip(*block.rows, strict=True)]
    sides = sides or ["left"] * len(block.columns)
    head = _row("th", block.columns, sides)
    body = "".join(_row("td", [cell_text(cell) for cell in row], sides) for row in block.rows)
    return f"<table><caption>{escape(block.title)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    made = (
        f'<{tag} style="text-align: {side}">{escape(cell).replace(chr(10), " ")}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(made)}</tr>"
