"""A registry loads what packages add, whichever library gives the entry points."""

from types import SimpleNamespace

import pytest

from kdsnn import registry


def test_an_entry_point_of_another_library_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SimpleNamespace(name="theirs", value="theirs:Thing", load=lambda: dict)
    monkeypatch.setattr(registry, "_entry_points", lambda group: [entry])
    things = registry.Registry("thing", "things", {"ours": list, "path": "collections:OrderedDict"}, "some.things")
    assert things.get("theirs") is dict
    assert things.get("ours") is list
    assert things.get("path").__name__ == "OrderedDict"
