"""docs/synops.md: our columns by enumeration of every synapse, and what is bold is one of them."""

import importlib
import re
from types import ModuleType

import numpy as np
import pytest

from tests import oracles
from tests.pages import ROOT

TEXT = (ROOT / "docs" / "synops.md").read_text()
ROWS = {
    cells[0]: cells[1:]
    for cells in ([c.strip() for c in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:2] == "| ")
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("definitions")


def test_our_counts_are_those_of_every_synapse(script: ModuleType) -> None:
    cases = script.cases()
    assert ROWS.keys() == {"layer", *cases}
    for what, case in cases.items():
        shown = ROWS[what][:2]
        if what == "after an average pool":
            assert shown == ["-", "-"]
            continue
        layer, inputs = case.layer, case.inputs.numpy()
        op = type("Op", (), {"weight": layer.weight.numpy()})()
        if layer.weight.ndim == 4:
            op.stride, op.padding, op.dilation, op.groups = layer.stride, layer.padding, layer.dilation, layer.groups
        sent = (inputs > 0).sum(axis=(0, 1))
        found = [(sent * oracles.fan_out(op, sent.shape, zero_weights=z)).sum() / len(inputs) for z in (True, False)]
        unit = " MACs" if what == "grey levels" else ""
        assert shown == [f"{x:,.1f}{unit}" for x in found]


def test_bold_is_one_of_ours_and_nothing_else_is() -> None:
    assert ROWS["layer"][2:] != []
    for what, (dense, effective, *others) in ROWS.items():
        if what == "layer" or dense == "-":
            continue
        for cell in others:
            (plain,) = re.findall(r"^(?:\*\*)?(.*?)(?:\*\*)?$", cell)
            assert cell.startswith("**") == (plain in (dense, effective))
    assert np.mean([cell.startswith("**") for cells in ROWS.values() for cell in cells[2:]]) > 0.5
