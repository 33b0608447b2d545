"""Numbers beside points and bars stand inside the frame, however wide the figure is."""

from typing import Any

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from kdsnn.report.drawings import STYLE
from kdsnn.report.figures import accuracy_intervals, energy_bars

WIDTHS = (2.5, 3.25, 5.2, 6.875)


def assert_all_inside(figure: Figure, numbers: int) -> None:
    figure.draw_without_rendering()
    (axes,) = figure.axes
    frame = axes.get_window_extent()
    texts = [text for text in axes.texts if text.get_text()]
    assert len(texts) == numbers
    for text in texts:
        box = text.get_window_extent()
        assert frame.x0 < box.x0 < box.x1 < frame.x1, text.get_text()
    for bar in axes.patches:
        assert not bar.get_window_extent().x1 >= frame.x1  # an unknown one has no end
    whole = figure.bbox
    for label in (axes.xaxis.label, *figure.texts):
        if label.get_text():
            box = label.get_window_extent()
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1, label.get_text()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rows", [[(0.99, 0.98, 1.0), (0.5, 0.1, 0.9)], [(0.16, 0.09, 0.28), (0.2, 0.11, 0.32)]])
def test_accuracies(width: float, rows: list[tuple[float, float, float]]) -> None:
    named = [
        {"what": "on gpu (arithmetic=float32)", "accuracy": a, "low": low, "high": high, "samples": 1000}
        for a, low, high in rows
    ]
    with rc_context(STYLE):
        assert_all_inside(accuracy_intervals(named, width), 2)


def energy(model: str, dynamic: float, static: float | None, teacher: float | None = None) -> dict[str, Any]:
    return {
        "model": model,
        "dynamic_j_per_sample": dynamic,
        "static": None if static is None else {"alone_j_per_sample": static},
        "total_j_per_sample": None if static is None else dynamic + static,
        "teacher_j_per_sample": teacher,
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("reports", "numbers"),
    [
        ([energy("one", 3e-6, None), energy("two", 1e-6, 1e-6)], 2),  # the longest bar has no static part
        ([energy("one", 3e-6, 0.0), energy("two", 1e-6, 1e-6)], 2),
        ([energy("one", 3e-6, 1e-6, 9e-6), energy("two", 1e-6, None)], 3),
    ],
)
def test_energies(width: float, reports: list[dict[str, Any]], numbers: int) -> None:
    with rc_context(STYLE):
        assert_all_inside(energy_bars(reports, width), numbers)
