"""docs/add-a-target.md, executed: its target, installed as its own package, is a target as ours are."""

import importlib
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kdsnn.cli.common import show
from kdsnn.energy.estimate import estimate
from kdsnn.energy.models import load_energy_model
from kdsnn.errors import TimedOutError
from kdsnn.evaluation import evaluate
from kdsnn.files.reading import read_json
from kdsnn.steps.energy import Energy
from kdsnn.steps.evaluations import EVALUATIONS, kept
from kdsnn.targets.base import Target
from kdsnn.targets.registry import load_target
from kdsnn.testing import example_networks, random_images
from tests.cli.conftest import Cli
from tests.pages import blocks
from tests.small_run import small_run

PAGE = "docs/add-a-target.md"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's file, with what an installer makes of the page's entry point."""
    (project,) = blocks(PAGE, "toml")
    groups = tomllib.loads(project)["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    site = tmp_path / "site"
    (site / "mychip-1.0.dist-info").mkdir(parents=True)
    (site / "mychip-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mychip\nVersion: 1.0\n")
    (site / "mychip-1.0.dist-info" / "entry_points.txt").write_text("".join(lines))
    (site / "mychip.py").write_text(blocks(PAGE, "python")[0])
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("mychip", None)


def mychip() -> Target:
    return load_target("mychip")


def test_it_passes_the_conformance_suite_as_the_page_says() -> None:
    scope: dict[str, object] = {}
    exec(compile(blocks(PAGE, "python")[1], PAGE, "exec"), scope)  # noqa: S102  our own page
    scope["test_mychip_computes_the_same_spikes"]()  # type: ignore[operator]


def test_the_commands_of_the_page_do_what_it_says(cli: Cli) -> None:
    model = small_run()
    assert model.run is not None
    (commands,) = blocks(PAGE, "sh")
    done = [cli(*shlex.split(line)[1:]) for line in commands.splitlines()]
    assert [outcome.code for outcome in done] == [0, 5, 0], [outcome.err for outcome in done]
    assert "needs 640 cells, and the chip has 50" in done[1].err
    (found,) = kept(model.run)
    assert found["target"] == "mychip"
    assert found["matches_reference"] is True
    assert found["identity"]["target"] == {"name": "mychip", "settings": {"cells": "100000"}}
    (file,) = (model.run / EVALUATIONS).iterdir()
    assert file.name.startswith("mychip-20-")
    assert read_json(Path("bundle") / "manifest.json")["target"] == "mychip"


def test_it_stands_among_the_targets(cli: Cli) -> None:
    assert "mychip" in cli("targets").out


def test_energy_that_a_target_simulates_is_shown_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    """With or without a latency: a note of that name is enough."""
    network = example_networks()[0]
    found = evaluate(network, mychip(), random_images(network, 2))
    report = estimate(load_energy_model("loihi1"), found.counts)
    show(Energy(report, replace(found, notes={"energy_cells_j": 6e-6}), {}))
    assert "simulated by mychip" in (shown := capsys.readouterr().out)
    assert "3.0000" in shown  # µJ per sample
    assert "Not in it: static energy; mychip does not say" in shown
    assert "latency" not in shown
    timed = {"energy_cells_j": 6e-6, "latency_s": 4e-6, "simulated_s": 8e-6}
    show(Energy(report, replace(found, notes=timed), {}))
    assert "latency of a sample 2.0 µs; one every 4.0 µs" in capsys.readouterr().out
    show(Energy(report, replace(found, notes=timed | {"static_w": 0.5}), {}))
    shown = capsys.readouterr().out
    assert "static, alone (500 mW, 2.0 µs)" in shown
    assert [line.split()[-1] for line in shown.splitlines() if "total, " in line][-2:] == ["4.0000", "5.0000"]


def test_its_messages_bear_its_name() -> None:
    network = example_networks()[0]
    program = mychip().compile(network)
    with pytest.raises(TimedOutError, match="target 'mychip' passed its limit"):
        program.run(random_images(network, 2), time_limit_s=0.0)
