"""The page of a report in a real browser: `uv run --group browser pytest -m browser`, with Chromium installed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdsnn.evaluation.in_time import Curve
from kdsnn.export.nir import write_nir
from kdsnn.report.page import write_report
from kdsnn.steps.evaluate import evaluate_model
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.targets.gpu import GpuTarget
from tests.small_run import small_run

pytestmark = pytest.mark.browser
TEXT_ENDS = """caption => { const range = document.createRange(); range.selectNodeContents(caption);
  const box = range.getBoundingClientRect(); return [box.left, box.right] }"""
SIZES = {"desk": (1280, 800), "phone": (390, 844)}


@pytest.fixture
def page_file() -> Path:
    model = small_run()
    for samples in (40, 10):
        evaluate_model(model, GpuTarget("cpu"), select_images(model, samples=samples))
    return write_report(model)


@pytest.fixture
def long_names() -> Path:
    """A page whose classes have long names."""
    model = small_run()
    labels = tuple(f"{name} pneumonoultramicroscopicsilicovolcanoconiosis" for name in model.network.labels)
    write_nir(replace(model.network, labels=labels), model.path)
    model = load(str(model.run))
    evaluate_model(model, GpuTarget("cpu"), select_images(model, samples=40), curve=Curve(margins=(1,)))
    return write_report(model)


@pytest.mark.parametrize("size", SIZES)
def test_captions_and_names_of_classes_are_seen_whole(browser: Any, long_names: Path, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(long_names.absolute().as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("caption").count() >= 2
    for place in ("0", "each.scrollWidth"):  # wherever a table is scrolled to
        page.evaluate(f"document.querySelectorAll('.wide').forEach(each => each.scrollLeft = {place})")
        for caption in page.locator("caption").all():
            left, right = caption.evaluate(TEXT_ENDS)
            frame = caption.locator("xpath=ancestor::div[1]").bounding_box()
            assert frame["x"] - 0.5 <= left < right <= frame["x"] + frame["width"] + 0.5
    for name in page.locator(".matrix th span").all():
        assert name.evaluate("each => each.scrollWidth <= each.clientWidth && each.scrollHeight <= each.clientHeight")
    heads = [head.bounding_box() for head in page.locator(".matrix thead th").all()]
    assert max(head["width"] for head in heads) < 100  # ten columns, and not ten times a long name
    assert max(head["height"] for head in heads) < 240
    page.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_errors_or_requests_and_fits(browser: Any, page_file: Path, size: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.absolute().as_uri())
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.absolute().as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # nothing but tables scrolls sideways
    assert page.locator("figure svg").count() >= 6
    assert all(box["width"] > 200 for box in (each.bounding_box() for each in page.locator("figure svg").all()))
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    letters = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert letters == page.evaluate("getComputedStyle(document.body).color")
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["impact"]) for v in found if v["impact"] in ("serious", "critical")] == []
    page.close()


@pytest.mark.parametrize("size", SIZES)
def test_the_verdict_is_on_the_first_screen(browser: Any, page_file: Path, size: str) -> None:
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(page_file.absolute().as_uri())
    cards = page.locator(".verdict li")
    assert cards.count() == 4
    for card in cards.all():
        box = card.bounding_box()
        assert box["y"] + box["height"] <= height
    assert "1 machine, the same spikes" in cards.nth(0).inner_text()
    page.close()


def test_tables_sort_by_their_columns(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.absolute().as_uri())
    table = page.locator("table.sorts").first
    images = lambda: [row.locator("td").nth(1).inner_text() for row in table.locator("tbody tr").all()]  # noqa: E731
    button = table.locator("thead th").nth(1).locator("button")
    button.click()
    assert images() == ["10", "40"]
    button.press("Enter")
    assert images() == ["40", "10"]
    assert table.locator("thead th").nth(1).get_attribute("aria-sort") == "descending"
    page.close()
