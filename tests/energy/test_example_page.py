"""docs/energy-example.md, executed: each number of its tables is the arithmetic beside it, and what kdsnn finds."""

import re
from typing import Any

import pytest

from tests.pages import ROOT, blocks

PAGE = "docs/energy-example.md"
TEXT = (ROOT / PAGE).read_text()


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    scope: dict[str, Any] = {}
    (code,) = blocks(PAGE, "python")
    exec(code, scope)  # noqa: S102  our page
    return scope


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, without their heads."""
    part = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:1] == "|"]
    return [cells for cells in lines if re.fullmatch(r"[\d.]+", cells[-1])]


def value_of(arithmetic: str) -> float:
    assert re.fullmatch(r"[\d+*. -]+", arithmetic)
    return float(eval(arithmetic))  # noqa: S307  digits and signs alone


def test_counts(made: dict[str, Any]) -> None:
    layers = {layer.name: layer for layer in made["result"].counts.layers}
    shown = rows("Counts")
    assert len(shown) == 10
    for layer, count, _, value in shown:
        assert getattr(layers[layer.strip("`")], count.strip("`")) == int(value)


@pytest.mark.parametrize(
    ("heading", "report", "total"), [("On Loihi 1", "on_loihi", "1,460.5"), ("In 45 nm arithmetic", "in_cmos", "50.1")]
)
def test_parts(made: dict[str, Any], heading: str, report: str, total: str) -> None:
    parts = {part.name: part for part in made[report].model.parts}
    shown = {cells[0]: cells for cells in rows(heading) if cells[0] in parts and len(cells) == 4}
    assert shown.keys() == parts.keys()
    for name, count, constant, picojoules in shown.values():
        assert parts[name].energy_pj == float(constant)
        assert value_of(count) * float(constant) == pytest.approx(float(picojoules))
        assert made[report].parts[name] == pytest.approx(1e-12 * float(picojoules))
    assert sum(float(cells[3]) for cells in shown.values()) == pytest.approx(float(total.replace(",", "")))
    assert f"Together {total} pJ" in TEXT


def test_time_and_totals(made: dict[str, Any]) -> None:
    shown = [cells for cells in rows("On Loihi 1") if len(cells) == 3]
    assert len(shown) == 9
    for _, arithmetic, value in shown:
        assert value_of(arithmetic) == pytest.approx(float(value))
    static = made["on_loihi"].static
    times = [cells for cells in shown if cells[0].startswith(("alone:", "streaming:"))]
    assert [static.latency_s, static.period_s] == pytest.approx([1e-9 * float(cells[2]) for cells in times])
    totals = [cells for cells in shown if cells[0] in ("alone", "streaming")]
    report = made["on_loihi"]
    wanted = [report.total_j_per_sample, report.streaming_j_per_sample]
    assert wanted == pytest.approx([1e-12 * float(cells[2]) for cells in totals])
    assert report.left_out == ()
