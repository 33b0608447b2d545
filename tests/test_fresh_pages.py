"""Pages that scripts make: written, or with `--check` compared and left alone."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.pages import ROOT


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
