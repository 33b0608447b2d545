"""How results are shown, in a terminal and in a notebook: tables, and lines of text."""

from kdsnn.display.blocks import Block, Displayed, Table, cell_text, is_numeric, percent

__all__ = ["Block", "Displayed", "Table", "cell_text", "is_numeric", "percent"]
