"""The peers that benchmarks/peers.py measures compute what our students compute; and how it measures."""

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

from kdsnn.models.students import Student, build_student
from kdsnn.recipes.schema import StudentSection

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def load(name: str) -> ModuleType:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def student(name: str, shape: tuple[int, int, int]) -> Student:
    torch.manual_seed(0)
    return build_student(StudentSection(model=name, width=0.125), shape, 10)


@pytest.mark.peers
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "shape"), [("2conv", (1, 12, 12)), ("vgg11", (3, 32, 32))])
def test_the_peers_fire_and_learn_as_the_student_does(name: str, shape: tuple[int, int, int]) -> None:
    made = load("peer_models").make_peers(load("peer_models").awake(student(name, shape), shape))
    images = torch.rand(6, *shape)
    spikes, gradients = {}, {}
    for peer, net in made.items():
        out = net.eval()(images)
        torch.manual_seed(1)
        (out * torch.rand(out.shape)).sum().backward()
        spikes[peer] = out.detach()
        gradients[peer] = next(net.parameters()).grad
    assert set(made) == {"kdsnn", "spikingjelly", "snntorch", "sinabs"}
    assert 0.02 < spikes["kdsnn"].mean() < 0.98
    for peer in made:  # float32 sums in another order may carry a potential over its threshold, here and there
        assert (spikes[peer] != spikes["kdsnn"]).float().mean() <= 0.01, peer
        assert gradients["kdsnn"].norm() > 0
        assert (gradients[peer] - gradients["kdsnn"]).norm() < 0.02 * gradients["kdsnn"].norm(), peer


@pytest.mark.usefixtures("folder")
def test_the_page_is_made_of_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = load("measured")
    figures = json.loads((ROOT / "benchmarks" / "peers.json").read_text())
    assert not figures["quick"]
    assert figures["command"] in measured.peers_page()
    row = figures["training"]["2conv"]["rows"]["spikingjelly"]
    row["wall_s"], row["ratio"], row["cpu_ratio"] = [0.1, 0.2, 0.3], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    (tmp_path / "peers.json").write_text(json.dumps(figures))
    monkeypatch.setattr(measured, "FIGURES", tmp_path / "peers.json")
    line = "| spikingjelly | 200.0 (100.0 to 300.0) | 2.00x (1.00 to 3.00) | 5.00x (4.00 to 6.00) |"
    assert line in measured.peers_page().splitlines()


@pytest.mark.usefixtures("folder")
def test_figures_hold_no_place() -> None:
    text = (ROOT / "benchmarks" / "peers.json").read_text()
    assert "/home" not in text
    assert str(ROOT) not in text
    assert isinstance(json.loads(text), dict)


@pytest.mark.peers
@pytest.mark.usefixtures("folder")
def test_runs_take_turns() -> None:
    peers = load("peers")
    seen: list[str] = []
    runs = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    rows = peers.measured(runs, 3, "")["rows"]
    assert "".join(seen) == "abc" + "abc" + "bca" + "cab"
    assert rows["a"]["ratio"] == [1.0, 1.0, 1.0]
    assert "joules" not in rows["a"]


@pytest.mark.usefixtures("folder")
def test_joules_are_those_of_one_run() -> None:
    joules = load("joules")
    used = 0.0

    def run() -> None:
        nonlocal used
        used += 3.0
        time.sleep(0.01)

    assert joules.joules_of(run, lambda: used, 0.05) == 3.0
    assert joules.counter_of("cpu") is None


@pytest.mark.usefixtures("folder")
def test_the_page_shows_joules_where_they_were_measured() -> None:
    measured = load("measured")
    row = {"wall_s": [0.1, 0.2, 0.3], "ratio": [1.0, 1.0, 1.0], "cpu_ratio": [1.0, 1.0, 1.0], "joules": 1.5}
    lines = measured._table("2conv", {"of": "kdsnn", "rows": {"kdsnn": row}}).splitlines()
    assert lines[0].endswith("| J |")
    assert lines[2].endswith("| 1.5 |")
    assert len({line.count("|") for line in lines}) == 1
