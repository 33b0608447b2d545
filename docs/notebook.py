"""`your-network.ipynb`, made from `your-network.md`: the text as it is, and a cell for each block that is executed."""

from __future__ import annotations

import json
import re
from pathlib import Path

__all__ = ["notebook"]

BLOCK = re.compile(r"^```(python|toml|sh)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w.-]+\.(?:py|toml))\n")  # the first line of a block that is a file


def notebook(page: Path) -> str:
    """The notebook of a page, in nbformat 4.5, without outputs.

    A block that begins with the name of a file writes that file, one of `sh` runs its commands and stops at the first
    that fails, and one of `python` is a cell of Python; all others stay text.
    """
    text = page.read_text()
    cells, begin = [], 0
    for block in BLOCK.finditer(text):
        cells += [_text(text[begin : block.start()]), _code(block[1], block[2])]
        begin = block.end()
    cells.append(_text(text[begin:]))
    shown = [{"id": f"cell-{n}", **cell} for n, cell in enumerate(c for c in cells if c["source"])]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {
        "cells": shown,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _text(text: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": _lines(text)}


def _code(language: str, text: str) -> dict[str, object]:
    if file := FILE.match(text):
        text = f"%%writefile {file[1]}\n{text[file.end() :].lstrip()}"
    elif language == "sh":
        text = f"%%bash -e\n{text}"
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": _lines(text)}


def _lines(text: str) -> list[str]:
    return text.strip("\n").splitlines(keepends=True)
