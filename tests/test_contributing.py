"""The examples of CONTRIBUTING: a file and a line each, and the thing can be used."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kdsnn import choices
from kdsnn.cli.app import app
from kdsnn.distill.student import distill
from kdsnn.export.nir import read_nir
from kdsnn.files.reading import read_json
from kdsnn.recipes.load import load_recipe
from kdsnn.registry import Registry
from kdsnn.steps.quantize_run import quantize_run
from tests.pages import blocks

RECIPE = """
name = "added"
data = { dataset = "stripes" }
teacher = { width = 0.125, epochs = 1 }
student = { model = "flat", hidden = 8, timesteps = 2 }
distill = { kind = "cosine" }
train = { epochs = 1 }
quantize = { method = "powers" }
"""
REGISTRIES: dict[str, Registry[object]] = {
    name: thing for name, thing in vars(choices).items() if isinstance(thing, Registry)
}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All things, each in a file of its own and with its line in the list; and their names."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []
    for block in blocks("CONTRIBUTING.md", "python"):
        said = re.match(r'# \S+?(\w+)\.py, and in (\w+): "([\w-]+)": "[\w.]+:(\w+)"\n', block)
        assert said, block[:80]
        module, registry, name, attribute = said.groups()
        (tmp_path / f"added_{module}.py").write_text(block)
        monkeypatch.setitem(REGISTRIES[registry].own, name, f"added_{module}:{attribute}")  # type: ignore[arg-type]
        names.append(name)
    yield names
    for module in [m for m in sys.modules if m.startswith("added_")]:
        del sys.modules[module]


def test_a_recipe_takes_what_was_added(added: list[str], tmp_path: Path) -> None:
    assert added == ["cosine", "dead-pixels", "powers", "stripes", "burst", "rain", "flat"]
    (tmp_path / "added.toml").write_text(RECIPE)
    run = distill(load_recipe(tmp_path / "added.toml"), run=tmp_path / "run", device="cpu")
    assert read_json(run / "student.json")["model"] == "flat"
    quantize_run(str(run), max_disagreement=1)
    network = read_nir(run / "model.nir")
    assert [p.name for p in network.spiking] == ["if1", "if2"]
    assert all(int(p.model.threshold).bit_count() == 1 for p in network.spiking)  # type: ignore[union-attr]
    assert network.labels == ("lying", "standing")
    done = CliRunner().invoke(
        app, ["noise", str(run), "--kind", "dead-pixels", "--levels", "0.5", "--seeds", "1", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert '"dead-pixels"' in done.output


@pytest.mark.parametrize("change", ["data.dataset=rain", "data.encode=burst"])
def test_a_recipe_takes_events_and_encoders_that_were_added(added: list[str], change: str, tmp_path: Path) -> None:
    (tmp_path / "added.toml").write_text(RECIPE)
    run = distill(load_recipe(tmp_path / "added.toml", [change]), run=tmp_path / "run", device="cpu")
    quantize_run(str(run), max_disagreement=1)
    network = read_nir(run / "model.nir")
    assert network.image_shape == (2, 2 if "rain" in change else 1, 8, 8)
    assert network.input_bits == 1


def test_lists_and_suggestions_know_what_was_added(added: list[str]) -> None:
    runner = CliRunner()
    for kind, name in (("losses", "cosine"), ("noises", "dead-pixels"), ("methods", "powers"), ("datasets", "rain")):
        assert name in runner.invoke(app, ["list", kind]).output.split()
    assert choices.STUDENTS.problem("flatt") == "there is no student 'flatt'; did you mean 'flat'?"


def test_the_example_noise_leaves_images_at_level_0_as_they_are(added: list[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    noise = choices.NOISES.get("dead-pixels")
    assert np.array_equal(noise.add(images, 0.0, 3, "test"), images)
    assert not noise.add(images, 1.0, 3, "test").any()
