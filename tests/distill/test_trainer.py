"""The training loop: schedules, metrics, the bar, and a run that was cut off ends with the same weights."""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kdsnn.distill import trainer
from kdsnn.distill.trainer import CHECKPOINT, METRICS, Batch, Plan, fit, learning_rate
from kdsnn.errors import InputError, RecipeError
from kdsnn.recipes.schema import TrainSection
from tests.distill.small import recipe, small

SPLIT = small("small", Path()).train


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, 2))
    return nn.Sequential(*layers)


def forward(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model(batch.images)
    return nn.functional.cross_entropy(logits, batch.labels), logits


def train(folder: Path, *, resume: bool = False, seed: int = 0, **train: object) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    model = net()
    fit(model, forward, Plan(recipe(**train).train, SPLIT, "affine", seed, "test"), folder, resume=resume, device="cpu")
    return model.state_dict()


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def without_time(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines(folder)]


def test_it_learns_and_writes_a_line_an_epoch(tmp_path: Path) -> None:
    train(tmp_path, epochs=6)
    metrics = lines(tmp_path)
    assert [line["epoch"] for line in metrics] == list(range(6))
    assert all(set(line) == {"epoch", "loss", "accuracy", "lr", "seconds"} for line in metrics)
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert metrics[-1]["accuracy"] > 0.9
    assert all(0 <= line["accuracy"] <= 1 for line in metrics)  # the short last batch counts by its images


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    first = train(tmp_path / "a", seed=1)
    torch.rand(7)  # what was drawn before has no influence
    assert equal(first, train(tmp_path / "b", seed=1))
    assert not equal(first, train(tmp_path / "c", seed=2))
    assert without_time(tmp_path / "a") == without_time(tmp_path / "b")


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stop_at", [0, 5, 9])  # steps; an epoch has four
def test_cut_off_and_resumed_it_ends_with_the_same_weights(tmp_path: Path, optimizer: str, stop_at: int) -> None:
    whole = train(tmp_path / "whole", optimizer=optimizer)
    steps = 0

    def interrupted(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal steps
        if steps == stop_at:
            raise KeyboardInterrupt
        steps += 1
        return forward(model, batch)

    folder = tmp_path / "cut"
    folder.mkdir()
    plan = Plan(recipe(optimizer=optimizer).train, SPLIT, "affine", 0, "test")
    with pytest.raises(KeyboardInterrupt):
        fit(net(), interrupted, plan, folder, resume=False, device="cpu")
    assert (folder / CHECKPOINT).is_file() == (stop_at >= 4)
    assert equal(whole, train(folder, resume=True, optimizer=optimizer))
    assert without_time(folder) == without_time(tmp_path / "whole")


def test_killed_between_its_two_files_it_resumes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics are written first, so they may be an epoch ahead of the checkpoint: never behind it."""
    whole, save, saved = train(tmp_path / "whole"), trainer.save_training, []

    def stop(*arguments: object, epochs_done: int, copies: object) -> None:
        if epochs_done == 2:
            raise KeyboardInterrupt
        saved.append(epochs_done)
        save(*arguments, epochs_done=epochs_done, copies=copies)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "save_training", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut")
    monkeypatch.undo()
    assert (saved, len(lines(tmp_path / "cut"))) == ([1], 2)
    assert equal(whole, train(tmp_path / "cut", resume=True))
    assert without_time(tmp_path / "cut") == without_time(tmp_path / "whole")


def test_a_batch_says_which_images_it_holds_and_how_far_it_is(tmp_path: Path) -> None:
    batches: list[Batch] = []

    def kept(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        batches.append(batch)
        return forward(model, batch)

    fit(net(), kept, Plan(recipe().train, SPLIT, "none", 0, "test"), tmp_path, resume=False, device="cpu")
    assert [b.progress for b in batches] == pytest.approx([n / 11 for n in range(12)])
    for batch in batches:
        assert torch.equal(batch.images, torch.tensor(SPLIT.images)[batch.index].float() / 255)
        assert torch.equal(batch.labels, torch.tensor(SPLIT.labels)[batch.index])
    for epoch in range(3):
        index = torch.cat([b.index for b in batches[4 * epoch : 4 * epoch + 4]])
        assert sorted(index.tolist()) == list(range(50))


def test_without_resume_it_begins_again(tmp_path: Path) -> None:
    first = train(tmp_path)
    assert equal(first, train(tmp_path))
    assert len(lines(tmp_path)) == 3


def test_resuming_a_finished_training_changes_nothing(tmp_path: Path) -> None:
    assert equal(train(tmp_path), train(tmp_path, resume=True))


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        train(tmp_path, resume=True)


def test_a_loss_that_is_not_finite_stops_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="loss is not finite in epoch 0") as raised:
        train(tmp_path, lr=1e30, schedule="constant", optimizer="sgd")
    assert "lr" in raised.value.hint
    assert not (tmp_path / CHECKPOINT).exists()


def test_clipping_bounds_the_step(tmp_path: Path) -> None:
    begin = net().state_dict()
    options = {"optimizer": "sgd", "schedule": "constant", "weight_decay": 0.0, "epochs": 1, "batch_size": 50}
    after = train(tmp_path, clip_norm=1e-3, lr=1.0, **options)
    moved = math.sqrt(sum(float((after[n] - begin[n]).square().sum()) for n in begin if n.endswith(("weight", "bias"))))
    assert moved == pytest.approx(1.9e-3, rel=0.01)  # Nesterov's first step: (1 + momentum) times the gradient


def test_schedules() -> None:
    def rates(schedule: str) -> list[float]:
        section = TrainSection.model_validate({"lr": 0.5, "schedule": schedule})
        return [learning_rate(section, step, 101) for step in range(101)]

    assert set(rates("constant")) == {0.5}
    cosine = rates("cosine")
    assert (cosine[0], cosine[50], cosine[100]) == (0.5, pytest.approx(0.25), pytest.approx(0, abs=1e-12))
    cycle = rates("onecycle")
    assert cycle[0] == pytest.approx(0.5 / 25)
    assert max(cycle) == cycle[30] == pytest.approx(0.5)
    assert cycle[100] == pytest.approx(0.5e-4)
    assert all(a < b for a, b in pairwise(cycle[:31]))
    assert all(a > b for a, b in pairwise(cycle[30:]))
    assert learning_rate(TrainSection(lr=0.5), 0, 1) > 0  # a single step


def test_the_bar_shows_loss_and_accuracy_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    train(tmp_path)
    assert capfd.readouterr() == ("", "")  # colours are no terminal: a notebook sets the variable, too
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 3/3, loss 0." in err
    assert "accuracy" in err


def test_the_images_are_held_once_on_a_cpu() -> None:
    images = small("", Path()).train.images
    shared = trainer._shared(images)
    assert shared.data_ptr() == images.ctypes.data
    assert torch.equal(shared, torch.tensor(images))


class Readings(TorchDispatchMode):
    """Counts how often a number is read out of a tensor: each is a wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_at_a_step(tmp_path: Path) -> None:
    counts = []
    for batch_size in (25, 5):  # 2 and 10 steps
        with Readings() as readings:
            train(tmp_path / str(batch_size), batch_size=batch_size, epochs=1, optimizer="sgd", clip_norm=1.0)
        counts.append(readings.count)
    assert counts[0] == counts[1] > 0


def test_the_metrics_are_means_over_the_images(tmp_path: Path) -> None:
    def known(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(batch.images)
        loss = logits.sum() * 0 + batch.index.float().mean()
        return loss, torch.stack([batch.index % 5, torch.ones_like(batch.index)], dim=1)

    fit(net(), known, Plan(recipe(epochs=1).train, SPLIT, "none", 0, "test"), tmp_path, resume=False, device="cpu")
    (line,) = lines(tmp_path)
    index = range(len(SPLIT.labels))
    right = [(0 if i % 5 > 1 else 1) == SPLIT.labels[i] for i in index if i % 5 != 1]
    right += [SPLIT.labels[i] == 0 for i in index if i % 5 == 1]  # of equal scores the first
    assert line["loss"] == sum(index) / len(index)
    assert line["accuracy"] == sum(right) / len(index)
