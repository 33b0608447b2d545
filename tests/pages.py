"""Reads what stands on the pages of the docs, so that tests can execute it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in that language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def without_figures(text: str) -> str:
    """A text with N for each number, and without ties of the float network, which a training may lead to or not.

    Another machine sums otherwise, and trains to other weights.
    """
    return re.sub(r"\d[\d.,]*", "N", text).replace("; N of the N others are ties in the float network", "")
