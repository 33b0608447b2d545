"""The site: its pages, its links, and a build that warns of nothing and asks no other host for anything."""

import functools
import http.server
import importlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kdsnn.network import Dense, Input, Network, Neuron, Population, Projection
from kdsnn.targets.reference import ReferenceTarget
from tests.pages import ROOT

ASKS = re.compile(
    r"<(?!a\b)\w+[^>]*\s(?:src|href|data|srcset|poster)\s*=\s*[\"']?\s*(?:https?:)?//[^\"'\s>]+"
    r"|(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//[^)\s]+"
)


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("build_site")


@pytest.fixture
def repository(builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small one with the same layout, of which the builder makes the site."""
    (tmp_path / "docs" / "images").mkdir(parents=True)
    (tmp_path / "docs" / "images" / "a.svg").write_text("<svg/>")
    (tmp_path / "docs" / "one.md").write_text(
        "![a](images/a.svg) [two](two.md#here) [more](../MORE.md) [out](https://x.org/y.md) [here](#one)\n"
        "```python\nf[0](nowhere)\n```\n"
    )
    (tmp_path / "docs" / "two.md").write_text("# Two\n")
    (tmp_path / "docs" / "script.py").write_text("")
    (tmp_path / "MORE.md").write_text("[one](docs/one.md)\n")
    (tmp_path / "zensical.toml").write_text('[project]\nnav = [{ A = "one.md" }, { B = [{ C = "more.md" }] }]\n')
    monkeypatch.setattr(builder, "ROOT", tmp_path)
    monkeypatch.setattr(builder, "CONFIG", tmp_path / "zensical.toml")
    monkeypatch.setattr(builder, "ELSEWHERE", {"MORE.md": "more.md"})
    return tmp_path


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere(builder: ModuleType, tmp_path: Path) -> None:
    assert builder.left_out() == []
    builder.gather(tmp_path / "pages")
    assert not list((tmp_path / "pages").rglob("*.py"))
    assert (tmp_path / "pages" / "your-network.ipynb").is_file()


def test_pages_are_gathered_in_one_folder_and_their_links_fit_it(builder: ModuleType, repository: Path) -> None:
    builder.gather(repository / "pages")
    assert {p.relative_to(repository / "pages").as_posix() for p in (repository / "pages").rglob("*.*")} == {
        "one.md",
        "two.md",
        "more.md",
        "images/a.svg",
    }
    assert (repository / "pages" / "more.md").read_text() == "[one](one.md)\n"
    assert (repository / "pages" / "one.md").read_text() == (
        "![a](images/a.svg) [two](two.md#here) [more](more.md) [out](https://x.org/y.md) [here](#one)\n"
        "```python\nf[0](nowhere)\n```\n"
    )


def test_a_link_that_leads_nowhere_and_a_page_left_out_are_errors(builder: ModuleType, repository: Path) -> None:
    assert builder.left_out() == ["two.md"]
    with pytest.raises(builder.SiteError, match=r"differ: two\.md"):
        builder.build()
    (repository / "docs" / "two.md").write_text("[lost](script.py)\n")
    with pytest.raises(builder.SiteError, match=r"docs/two\.md leads to script\.py, which is not on the site"):
        builder.gather(repository / "pages")


def test_a_warning_fails_the_build_even_where_strict_lets_it_pass(builder: ModuleType) -> None:
    warned = "griffe: kdsnn/a.py:6: Parameter 'z' does not appear in the function signature"
    assert builder.complaints(0, f"Build started\n{warned}\n") == warned
    assert builder.complaints(0, "Build started\n") == ""
    assert builder.complaints(1, "") == "zensical ended with 1"
    assert builder.complaints(1, "2 issues found\n") == "2 issues found"


@pytest.mark.parametrize(
    ("html", "asks"),
    [
        ('<a href="https://x.org">', False),
        ('<img src="images/a.svg">', False),
        ('<script src="https://x.org/a.js">', True),
        ("<link rel=stylesheet href=//x.org/a.css>", True),
        ("@import 'https://x.org/a.css'", True),
        ("src: url(//x.org/a.woff)", True),
    ],
)
def test_what_asks_another_host_is_found(html: str, asks: bool) -> None:
    assert bool(ASKS.search(html)) is asks


def test_the_picture_of_a_neuron_shows_what_the_reference_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    drawings = importlib.import_module("drawings")
    neuron = Neuron(drawings.THRESHOLD, np.zeros(1, np.int32))
    populations = (Population("input", (1,), Input(8, static=False)), Population("out", (1,), neuron))
    projection = Projection("input", "out", Dense(np.ones((1, 1), np.int16)))
    network = Network("one", populations, (projection,), len(drawings.DRIVES), ("a",), True)
    frames = np.array(drawings.DRIVES, np.uint8).reshape(1, -1, 1)
    found = ReferenceTarget().compile(network).run(frames, record=["out"])
    assert found.spikes["out"].ravel().astype(bool).tolist() == drawings.potentials()[1]


@pytest.fixture(scope="module")
def site() -> Path:
    """The site, built; the build raises at a warning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        folder: Path = importlib.import_module("build_site").build()
    return folder


@pytest.mark.site
def test_no_page_names_anything_on_another_host_but_links(site: Path) -> None:
    found = {
        f"{path.relative_to(site)}: {asked}"
        for kind in ("*.html", "*.css")
        for path in site.rglob(kind)
        for asked in ASKS.findall(path.read_text())
    }
    assert found == set()
    assert len(list(site.glob("*.html"))) > 40


@pytest.mark.site
def test_the_reference_shows_every_function_of_the_front_door(site: Path) -> None:
    import kdsnn

    shown = re.findall(r"<h3[^>]*>.*?</h3>", (site / "api-kdsnn.html").read_text(), re.DOTALL)
    text = " ".join(re.sub("<[^>]+>", "", heading) for heading in shown)
    assert [name for name in kdsnn.__all__ if name != "__version__" and f"kdsnn.{name}" not in text] == []


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.site
def test_a_browser_asks_no_other_host_for_any_page(served: str, browser: Any, builder: ModuleType) -> None:
    asked: list[str] = []
    failed: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    for name in builder.navigation():
        page.goto(served + name.replace(".md", ".html"), wait_until="load")
    page.keyboard.press("Control+k")
    page.keyboard.type("quantize")
    page.wait_for_timeout(500)
    page.close()
    assert {url for url in asked if not url.startswith((served, "data:", "blob:"))} == set()
    assert failed == []
    assert any(url.endswith("search.json") for url in asked)
