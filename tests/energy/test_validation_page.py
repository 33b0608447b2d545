"""docs/energy-validation.md: each prediction by hand from the counts that it names, and its errors."""

import re
import tomllib

import pytest

from tests.pages import ROOT

PAGE = (ROOT / "docs" / "energy-validation.md").read_text()
DATA = tomllib.loads((ROOT / "docs" / "measured_points.toml").read_text())
ENERGY_J = {  # joules of (synaptic operations, updates, spikes), by Davies' table
    "dynamic energy": lambda s, u, f: s * 23.6e-12 + f * 81e-12 + (u - f) * 52e-12 + f * 1.7e-12,
    "time of a step": lambda s, u, _: 1e-9 * (s * 3.5 / 5 + u * 5.3 / 2 + 200),
}


def rows() -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return {cells[0]: cells for cells in lines if len(cells) == 6}


@pytest.mark.parametrize("point", DATA["points"], ids=lambda p: p["title"][:20])
def test_a_prediction_is_that_of_the_constants_and_its_error_that_of_the_measurement(point: dict) -> None:
    ends = [(point["synops"][e], point["updates"][e], point.get("spikes", (0, 0))[e]) for e in (0, 1)]
    predicted = [ENERGY_J[point["quantity"]](*counts) for counts in ends]
    _, model, quantity, measured, shown, errors = rows()[point["title"]]
    assert (model, quantity) == (f"`{point['model']}`", point["quantity"])
    scale = 1e3 if "mJ" in measured else 1e6
    assert float(measured.split()[0]) == pytest.approx(scale * point["measured"], rel=1e-3)  # four digits are shown
    found = [float(x) for x in re.findall(r"[\d.]+", shown)]
    assert found == pytest.approx([scale * p for p in predicted], rel=1e-3)
    wanted = [f"{100 * (p / point['measured'] - 1):+.0f} %" for p in predicted]
    assert errors == " to ".join(wanted)


def test_the_mean_error_is_of_the_points_that_nothing_was_fitted_to() -> None:
    off = []
    for point in DATA["points"]:
        assert point["role"] in ("tested", "fitted")
        if point["role"] == "tested":
            ends = [(point["synops"][e], point["updates"][e], point.get("spikes", (0, 0))[e]) for e in (0, 1)]
            off.append(sum(abs(ENERGY_J[point["quantity"]](*c) / point["measured"] - 1) for c in ends) / 2)
    (said,) = re.findall(r"Mean absolute error of these (\d+) points: \*\*(\d+) %\*\*", PAGE)
    assert said == (str(len(off)), f"{100 * sum(off) / len(off):.0f}")


def test_what_could_not_be_used_is_named_with_the_reason() -> None:
    assert len(DATA["left_out"]) >= 6
    for each in DATA["left_out"]:
        assert f"- {each['title']}: {each['why']}." in PAGE
