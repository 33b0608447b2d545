"""The paper's deep students, narrow and trained for a while on real digits, go through real Lava spike for spike."""

from pathlib import Path

import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.distill.student import distill
from kdsnn.evaluation import evaluate
from kdsnn.recipes.schema import Recipe
from kdsnn.steps.quantize_run import quantize_run
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from tests.currents import currents_with_biases

SECTIONS = {
    "data": {"dataset": "digits"},
    "distill": {"kind": "none"},
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("model", "timesteps", "epochs", "lr"),
    [("vgg11", 4, 16, 3e-3), ("resnet18", 2, 8, 5e-3), ("wrn16-2", 2, 3, 5e-3), ("preresnet20", 2, 3, 5e-3)],
)
def test_deep_students(tmp_path: Path, model: str, timesteps: int, epochs: int, lr: float) -> None:
    setup_environment()
    train = {"epochs": epochs, "lr": lr, "batch_size": 32}
    student = {"model": model, "width": 0.25, "timesteps": timesteps}
    recipe = Recipe.model_validate({"name": model, **SECTIONS, "student": student, "train": train})
    run = distill(recipe, run=tmp_path / "runs" / model)
    done = quantize_run(str(run), max_disagreement=1)
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


def test_currents_with_biases() -> None:
    """They come from steady populations, which stand beside the pipeline, in the first layer and in the last."""
    setup_environment()
    network, test = currents_with_biases()
    assert len(network.steady) == 3
    result = evaluate(network, LavaTarget(), test.images[:8], test.labels[:8])
    assert result.compared == tuple(p.name for p in network.spiking)
    assert all(layer.spikes > 0 for layer in result.counts.layers)
