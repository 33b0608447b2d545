"""What fine-tuning compares with the teacher: drives and features of the integer network, by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kdsnn.distill.checkpoint import load_tensors, save_model
from kdsnn.distill.features import Pair
from kdsnn.distill.learner import Answer, Beside, Watched
from kdsnn.distill.qat.folded_learner import FoldedLearner
from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.distill.qat.training import QatSettings, finetune
from kdsnn.errors import RecipeError
from kdsnn.export.quantization.quantize import quantize
from kdsnn.network import Network, neuron_of
from kdsnn.recipes.schema import DistillSection, QatSection, QuantizeSection
from kdsnn.targets.reference import simulate
from tests.distill.qat.test_qat import network, random_images, task

TEACHER_CHANNELS = 5


class Teacher(nn.Module):
    """A map of five channels before a ReLU, and a linear classifier of their means."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv2d(1, TEACHER_CHANNELS, 3, stride=2, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(TEACHER_CHANNELS, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        logits: torch.Tensor = self.head(self.relu(self.conv(x)).mean(dim=(2, 3)))
        return logits


PAIR = Pair("if1", "relu", (6, TEACHER_CHANNELS), (4, 4))
ALL = Watched(pairs=(PAIR,), neurons="out", drive=True, linear=("linear", "head"), sizes=(12, 5), scale=3.0)


def folded() -> tuple[FoldedNet, Network]:
    exact = network()
    like, report = quantize(exact, weight_bits=4, input_bits=8, method="mse")
    return FoldedNet(exact, like, report), like


def answered(watched: Watched) -> tuple[FoldedLearner, Answer, Network, dict[str, np.ndarray]]:
    net, like = folded()
    learner = FoldedLearner(net, watched, "direct")
    images = random_images()
    with torch.no_grad():
        answer = learner(torch.from_numpy(images).float() / 255)
    return learner, answer, like, simulate(like, images)[0]


def test_the_drive_is_what_the_integer_network_adds_in_a_step_over_its_threshold() -> None:
    _, answer, like, spikes = answered(ALL)
    neuron, total = neuron_of(like.population("out")), np.zeros((12, 4, 4))  # images, steps, classes
    for projection in like.incoming("out"):
        weight = projection.op.weight.astype(np.float64) * 2.0**projection.exponent * 64
        total += spikes[projection.source].reshape(12, 4, -1) @ weight.T
    total += neuron.bias.astype(np.float64) * 2.0**neuron.bias_exponent
    expected = total.transpose(1, 0, 2) / (64 * float(neuron.threshold))
    assert answer.drive is not None
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(answer.drive.numpy(), expected, rtol=1e-6)  # integers over one float32


def test_features_are_the_rates_of_the_integer_network() -> None:
    learner, answer, _, spikes = answered(ALL)
    rates = torch.from_numpy(spikes["if1"].astype(np.float32)).mean(dim=1)
    averaged = rates.reshape(12, 6, 4, 2, 4, 2).mean(dim=(3, 5))
    with torch.no_grad():
        expected = learner.beside.transforms[0](averaged)
        assert learner.beside.head is not None
        read = learner.beside.head(torch.from_numpy(spikes["hidden"].astype(np.float32)).mean(dim=1))
    torch.testing.assert_close(answer.features[0], expected)
    torch.testing.assert_close(answer.read, read)
    assert answer.scale is not None
    assert float(answer.scale) == pytest.approx(3.0)


def settings(section: DistillSection, watched: Watched = ALL, beside: Path | None = None) -> QatSettings:
    qat = QatSection(epochs=4, lr=0.03, batch_size=32)
    return QatSettings(QuantizeSection(weight_bits=4, qat=qat), section, watched=watched, beside=beside)


def distance(net: FoldedNet, beside: Beside, teacher: Teacher) -> float:
    """Of the teacher's features, on images that were learnt from: the paper's, in numpy."""
    images = task(64).images
    with torch.no_grad():
        rates = net(torch.from_numpy(images))["if1"].mean(dim=0)
        ours = beside.transforms[0](nn.functional.avg_pool2d(rates, 2)).numpy()
        theirs = teacher.conv(torch.from_numpy(images).float() / 255).numpy()
    return float(np.where((ours <= theirs) & (theirs <= 0), 0, (theirs - ours) ** 2).mean())


def test_fine_tuning_brings_the_features_nearer_and_the_response_does_not(tmp_path: Path) -> None:
    teacher, watched, beside = Teacher(), Watched(pairs=(PAIR,)), Beside(Watched(pairs=(PAIR,)))
    save_model(beside, tmp_path / "beside.safetensors")
    reached = {}
    for kind in ("feature", "response"):
        net, _ = folded()
        section = DistillSection(kind=kind, alpha=1.0, feature_reduction="sum")
        asked = settings(section, watched if kind == "feature" else Watched())
        if kind == "feature":
            before = distance(net, beside, teacher)
            asked = replace(asked, beside=tmp_path / "beside.safetensors")
        finetune(net, asked, task(64), tmp_path / kind, teacher=teacher, device="cpu")
        if kind == "feature":
            checkpoint = load_tensors(tmp_path / kind / "checkpoint.safetensors")
            names = ("transforms.0.weight", "transforms.0.bias")
            beside.load_state_dict({name: checkpoint[f"model.beside.{name}"] for name in names})
        reached[kind] = distance(net, beside, teacher)
    assert reached["feature"] < 0.5 * before
    assert reached["feature"] < reached["response"]


@pytest.mark.parametrize("kind", ["both", "drive", "laf", "layer-rates", "noise-smoothed", "temporal"])
def test_every_loss_goes_through_the_rounding(kind: str, tmp_path: Path) -> None:
    net, like = folded()
    finetune(net, settings(DistillSection(kind=kind)), task(64), tmp_path, teacher=Teacher(), device="cpu")
    assert net.to_integer()[0].fingerprint() != like.fingerprint()
    alone, _ = folded()
    finetune(alone, settings(DistillSection(kind="none"), Watched()), task(64), tmp_path / "none", device="cpu")
    assert net.to_integer()[0].fingerprint() != alone.to_integer()[0].fingerprint()


def test_alpha_goes_over_the_fine_tuning(tmp_path: Path) -> None:
    made = []
    for end in (0.9, 0.1):
        net, _ = folded()
        section = DistillSection(kind="drive", alpha=0.9, alpha_end=end)
        finetune(net, settings(section), task(64), tmp_path / str(end), teacher=Teacher(), device="cpu")
        made.append(net.to_integer()[0].fingerprint())
    assert made[0] != made[1]


def test_a_layer_that_is_no_population_is_named() -> None:
    net, _ = folded()
    wrong = Watched(pairs=(replace(PAIR, student="norm1"),))
    with pytest.raises(RecipeError, match="'norm1' is no population of the network") as raised:
        FoldedLearner(net, wrong, "direct")
    assert "if1, pool.1, hidden, relay, out" in raised.value.hint
