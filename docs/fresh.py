"""What the scripts of this folder do with the pages that they make: write them, or with `--check` compare them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["write_or_check"]


def write_or_check(pages: Mapping[Path, str], command: str) -> None:
    """Writes each page; with `--check` nothing is written, and one that is not there or reads otherwise is an error.

    Args:
        pages: the text of each file.
        command: that makes them anew, for the error.
    """
    if "--check" not in sys.argv:
        for path, text in pages.items():
            path.write_text(text)
        return
    stale = [path.name for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    if stale:
        sys.exit(f"not fresh: {', '.join(stale)}; run: {command}")
