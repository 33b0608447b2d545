"""Pages that scripts make: written, or with `--check` compared and left alone."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.pages import ROOT


def test_links_of_readme_are_absolute_where_the_repository_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    absolute = importlib.import_module("readme").absolute
    text = "![a](docs/a.svg) [b](docs/b.md#c) [d](https://x.org/d) [e](#e)"
    assert absolute(text, None) == text
    made = absolute(text, "https://x.org/me/it/")
    assert made == (
        "![a](https://x.org/me/it/raw/main/docs/a.svg) [b](https://x.org/me/it/blob/main/docs/b.md#c) "
        "[d](https://x.org/d) [e](#e)"
    )
    assert absolute(made, "https://x.org/me/it") == made


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("fresh")


def test_pages_are_written_and_stale_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: ModuleType
) -> None:
    same, other, absent = (tmp_path / f"{name}.md" for name in ("same", "other", "absent"))
    monkeypatch.setattr(sys, "argv", ["script"])
    fresh.write_or_check({same: "a", other: "b"}, "make")
    assert (same.read_text(), other.read_text()) == ("a", "b")

    monkeypatch.setattr(sys, "argv", ["script", "--check"])
    fresh.write_or_check({same: "a", other: "b"}, "make")
    with pytest.raises(SystemExit, match=r"^not fresh: other\.md, absent\.md; run: make$"):
        fresh.write_or_check({same: "a", other: "c", absent: "d"}, "make")
    assert other.read_text() == "b"
    assert not absent.exists()
