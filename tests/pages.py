"""Reads what stands on the pages of the docs, so that tests can execute it.

Languages say what a block is. `sh`, `python` and `toml` are to be typed, or kept as a file; `console` shows commands
after a `$`, and what they answer; `text` and the like are no commands. `tests/test_executed.py` holds that a test
executes each of them.
"""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
Session = list[tuple[str, str]]  # commands, each with what the page shows of its answer

HOURS = "takes hours of training or measuring; its commands must parse, and what it imports be there"
MINUTES = "trains for minutes; its commands must parse"
INSTALLS = "installs packages, or starts processes on other machines"
NOT_EXECUTED = {  # by page and first line
    ("README.md", "pip install 'kdsnn[all]'"): INSTALLS,
    ("README.md", "uv run kdsnn demo"): "the long suite runs the demo: tests/cli/test_followed_pages.py",
    ("CONTRIBUTING.md", "uv run pytest"): "are the steps of .ci/run, and the long suite",
    ("benchmarks/README.md", "for s in 0 1 2; do"): HOURS,
    ("docs/benchmarks.md", "uv run --group peers python benchmarks/peers.py"): HOURS,
    ("docs/events.md", "$ export KDSNN_DATA=/data/events"): "needs data sets that are not here",
    ("docs/events.md", "$ kdsnn distill saccade-mnist5k-2conv"): MINUTES,
    ("docs/events.md", "$ kdsnn evaluate runs/saccade"): MINUTES,
    ("docs/gain.md", "uv run python benchmarks/gain.py"): HOURS,
    ("docs/lava.md", "kdsnn evaluate --target lava --pool"): "tests/cli/test_pool_command.py runs one with a scheduler",
    ("docs/nengo-loihi.md", "kdsnn setup nengo-loihi"): "tests/cli/test_nengo_loihi_command.py runs both",
    ("docs/noise.md", '$ S="--set data.dataset=mnist5k-rot'): MINUTES,
    ("docs/paper.md", "$ kdsnn paper table1  "): HOURS,
    ("docs/paper.md", "$ kdsnn paper table1 --run"): MINUTES,
    ("docs/paper.md", "$ pip install 'kdsnn[dask]'"): INSTALLS,
    ("docs/results.md", "$ kdsnn compare"): "its answer depends on the training: tests/cli/test_compare_command.py",
    ("docs/sanafe.md", "pip install 'kdsnn[sanafe]'"): INSTALLS,
    ("docs/start.md", "$ pip install 'kdsnn[all]'"): INSTALLS,
}


@cache
def all_blocks(page: str) -> tuple[tuple[str, str], ...]:
    """The language and the text of each block of a page, in order."""
    return tuple(FENCED.findall((ROOT / page).read_text()))


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in that language, in order."""
    return [text for kind, text in all_blocks(page) if kind == language]


def why_not_executed(page: str, text: str) -> str | None:
    """Why no test executes this block of the page; None where one does."""
    found = [why for (where, begin), why in NOT_EXECUTED.items() if where == page and text.startswith(begin)]
    return found[0] if found else None


def sessions(page: str) -> list[Session]:
    """The blocks `console` of a page: their commands, each with what it shows."""
    return [session(text) for text in blocks(page, "console")]


def session(text: str) -> Session:
    """The commands of a block, after a `$` or a line each, and what is shown of their answers."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    if not parts:
        return [(line, "") for line in text.replace("\\\n", "").splitlines() if line.strip()]
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def without_figures(text: str) -> str:
    """A text with N for each number, and without ties of the float network, which a training may lead to or not.

    Another machine sums otherwise, and trains to other weights.
    """
    return re.sub(r"\d[\d.,]*", "N", text).replace("; N of the N others are ties in the float network", "")
