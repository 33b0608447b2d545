"""The paper's deep students, narrow and trained for a while on real digits, go through real Lava spike for spike."""

from pathlib import Path

import pytest

from kdsnn.conversion import quantize_run
from kdsnn.data.datasets import load_dataset
from kdsnn.distill.pipeline import distill
from kdsnn.evaluate import evaluate
from kdsnn.recipe import Recipe
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment

SECTIONS = {
    "data": {"dataset": "digits"},
    "distill": {"kind": "none"},
    "train": {"epochs": 8, "lr": 3e-3, "batch_size": 32},
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("model", "width"), [("vgg11", 0.25), ("resnet18", 0.125), ("wrn16-2", 0.25), ("preresnet20", 0.25)]
)
def test_deep_students(tmp_path: Path, model: str, width: float) -> None:
    setup_environment()
    recipe = Recipe.model_validate({"name": model, **SECTIONS, "student": {"model": model, "width": width}})
    run = distill(recipe, run=tmp_path / "runs" / model)
    done = quantize_run(str(run))
    assert done.float_accuracy > 0.5  # it learnt something: chance is 0.1
    test = load_dataset("digits").test
    assert done.integer_accuracy is not None
    assert abs(done.integer_accuracy - done.float_accuracy) < 0.05
    result = evaluate(done.model.network, LavaTarget(), test.images[:6], test.labels[:6])
    assert result.compared == tuple(p.name for p in done.model.network.spiking)
    if model != "vgg11":
        assert result.counts.totals()["relay_neurons"] > 0
        assert result.counts.totals()["relay_spikes"] > 0
    assert all(layer.spikes > 0 for layer in result.counts.layers if not layer.name.startswith("out"))
