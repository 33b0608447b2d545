"""Moving averages, the best weights by validation, patience and bfloat16: in the loop, and over a cut."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from kdsnn.data.datasets import load_dataset
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.checkpoint import load_tensors
from kdsnn.distill.distiller import Distiller
from kdsnn.distill.kept_weights import Weights
from kdsnn.distill.preparation import prepare
from kdsnn.distill.student import distill, load_student
from kdsnn.distill.trainer import CHECKPOINT, Batch, Epoch, Plan, fit
from kdsnn.errors import InputError, RecipeError
from kdsnn.models.neurons import IF
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.schema import Recipe, TrainSection
from tests.distill.small import NAME, recipe
from tests.distill.test_trainer import SPLIT, equal, forward, lines, net, train


def wanted(**sections: dict[str, object]) -> Recipe:
    base = recipe()
    changes = {k: getattr(base, k).model_copy(update=v) for k, v in sections.items()}
    return base.model_copy(update=changes)


def test_the_average_is_that_of_all_steps(tmp_path: Path) -> None:
    decay, average = 0.7, dict[str, torch.Tensor]()
    options = {"ema_decay": decay, "optimizer": "sgd", "schedule": "constant", "lr": 0.05}
    states: list[dict[str, torch.Tensor]] = []

    def kept(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        states.append({name: p.detach().clone() for name, p in model.named_parameters()})  # before each step
        return forward(model, batch)

    def run(folder: str, **more: object) -> dict[str, torch.Tensor]:
        model = net()
        plan = Plan(recipe(**options | more).train, SPLIT, "affine", 0, "test")
        (tmp_path / folder).mkdir()
        fit(model, kept, plan, tmp_path / folder, resume=False, device="cpu")
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    last = run("last", ema_decay=None)
    after = [*states[1:], last]
    averaged = run("average")
    for name in last:
        average[name] = after[0][name]
        for state in after[1:]:
            average[name] = decay * average[name] + (1 - decay) * state[name]
        torch.testing.assert_close(averaged[name], average[name])  # float32, interpolated in another order
        assert not torch.equal(averaged[name], last[name])


def judged(folder: Path, values: list[float], *, resume: bool = False, **options: object) -> dict[str, torch.Tensor]:
    """Trains with accuracies that are given, not measured."""
    folder.mkdir(exist_ok=True)
    model, epochs = net(), list[Epoch]()
    section = recipe(epochs=len(values)).train.model_copy(update=options)
    plan = Plan(section, SPLIT, "affine", 0, "test")
    begin = len(lines(folder)) if resume else 0
    given = iter(values[begin:])
    fit(
        model,
        forward,
        plan,
        folder,
        resume=resume,
        device="cpu",
        validate=lambda _net: next(given),
        on_epoch=epochs.append,
    )
    assert [e.validation for e in epochs] == values[begin : begin + len(epochs)]
    return model.state_dict()


@pytest.mark.parametrize("ema", [None, 0.5])
def test_the_best_weights_are_the_result_and_the_first_of_equals(tmp_path: Path, ema: float | None) -> None:
    options = {"schedule": "constant", "ema_decay": ema}
    best = judged(tmp_path / "a", [0.2, 0.8, 0.5, 0.8], **options)
    assert equal(best, train(tmp_path / "b", epochs=2, **options))
    assert not equal(best, train(tmp_path / "c", epochs=4, **options))


def test_patience_ends_the_training(tmp_path: Path) -> None:
    judged(tmp_path / "a", [0.2, 0.8, 0.5, 0.8, 0.1, 0.9], patience=3)
    assert [line["validation"] for line in lines(tmp_path / "a")] == [0.2, 0.8, 0.5, 0.8, 0.1]
    judged(tmp_path / "b", [0.2, 0.3, 0.3, 0.4, 0.4, 0.4], patience=3)
    assert len(lines(tmp_path / "b")) == 6


def test_what_has_stopped_is_not_trained_further(tmp_path: Path) -> None:
    values = [0.8, 0.5, 0.6, 0.9]
    first = judged(tmp_path, values, patience=2)
    assert len(lines(tmp_path)) == 3
    assert equal(first, judged(tmp_path, values, patience=2, resume=True))
    assert len(lines(tmp_path)) == 3


@pytest.mark.parametrize("stop_at", [4, 6, 10])  # steps; an epoch of the student has three
def test_cut_off_and_resumed_with_all_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    recipe = wanted(
        data={"validation_samples": 10},
        train={"ema_decay": 0.8, "patience": 3, "epochs": 5},
        teacher={"ema_decay": 0.5},
        distill={"kind": "both"},
    )
    whole = load_tensors(distill(recipe, run=tmp_path / "whole", device="cpu") / "student.safetensors")
    call, steps = Distiller.__call__, 0

    def cut(self: Distiller, learner: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal steps
        if steps == stop_at:
            raise KeyboardInterrupt
        steps += 1
        return call(self, learner, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Distiller, "__call__", cut)
        with pytest.raises(KeyboardInterrupt):
            distill(recipe, run=tmp_path / "cut", device="cpu")
    parts = {name.split(".")[0] for name in load_tensors(tmp_path / "cut" / CHECKPOINT)}
    assert parts == {"model", "optimizer", "ema", "best"}
    resumed = load_tensors(distill(recipe, run=tmp_path / "cut", resume=True, device="cpu") / "student.safetensors")
    assert equal(whole, resumed)


def test_the_student_of_a_run_is_the_best_on_the_images_held_out(tmp_path: Path) -> None:
    asked = wanted(data={"validation_samples": 10}, train={"epochs": 6})
    run = distill(asked, run=tmp_path / "run", device="cpu")
    values = [line["validation"] for line in lines(run)]
    _, student = load_student(run)
    prepared = prepare(asked)
    rest, held_out = prepared.split, prepared.held_out
    assert held_out is not None
    assert (len(rest.labels), len(held_out.labels)) == (40, 10)
    assert accuracy(student, held_out) == max(values)
    images = {image.tobytes() for image in rest.images}
    assert not images & {image.tobytes() for image in held_out.images}


def test_the_images_held_out_are_the_same_for_every_seed_and_size() -> None:
    def parts(seed: int, samples: int | None) -> tuple[set[bytes], set[bytes]]:
        asked = wanted(data={"validation_samples": 10, "train_samples": samples}).model_copy(update={"seed": seed})
        prepared = prepare(asked)
        rest, held_out = prepared.split, prepared.held_out
        assert held_out is not None
        return {image.tobytes() for image in rest.images}, {image.tobytes() for image in held_out.images}

    (first, out), (other, same), (whole, again) = parts(3, 20), parts(4, 20), parts(3, None)
    assert out == same == again
    assert first != other
    assert (len(first), len(other), len(whole)) == (20, 20, 40)
    assert not whole & out


def test_patience_without_images_held_out_is_refused() -> None:
    for name in ("train", "teacher"):
        with pytest.raises(RecipeError, match="is not valid") as raised:
            load_recipe("digits-2conv", [f"{name}.patience=2"])
        assert f"{name}.patience needs data.validation_samples" in str(raised.value)
    with pytest.raises(RecipeError, match="leaves nothing of 50"):
        prepare(wanted(data={"validation_samples": 50}))


def test_a_checkpoint_without_the_average_is_refused() -> None:
    weights = Weights(net(), 0.5)
    with pytest.raises(InputError, match="lacks the weights 'ema' and 'best'"):
        weights.restore({}, judged=True)


def test_bfloat16_trains_in_bfloat16_and_keeps_float32(tmp_path: Path) -> None:
    model, kinds = net(), set[torch.dtype]()
    model[0].register_forward_hook(lambda _m, _i, out: kinds.add(out.dtype))
    plan = Plan(recipe(precision="bf16", epochs=6).train, SPLIT, "affine", 0, "test")
    fit(model, forward, plan, tmp_path, resume=False, device="cpu")
    assert kinds == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert lines(tmp_path)[-1]["accuracy"] > 0.9


def test_a_student_in_bfloat16_learns(tmp_path: Path) -> None:
    asked = wanted(train={"precision": "bf16", "epochs": 20}, distill={"kind": "both"})
    asked = asked.model_copy(update={"seed": 4})  # of ten, two leave so small a student at chance
    run = distill(asked, run=tmp_path / "r", device="cpu")
    _, student = load_student(run)
    assert accuracy(student, load_dataset(NAME).test) > 0.9


def test_potentials_are_kept_in_float32() -> None:
    drive = torch.full((256, 1), 1 / 256, dtype=torch.bfloat16)
    assert IF(256, threshold=0.999)(drive).sum() == 1  # a sum in bfloat16 stays at one half


def test_a_resumed_average_is_the_average_of_all_steps(tmp_path: Path) -> None:
    """Stopped after any epoch, the moving average goes on from where it was, and does not begin anew."""
    section = TrainSection(epochs=4, batch_size=16, lr=0.05, ema_decay=0.9)
    plan = Plan(section, SPLIT, "none", 3, "test")

    def trained(folder: Path, stops: tuple[int, ...]) -> dict[str, torch.Tensor]:
        for epochs in (*stops, section.epochs):
            torch.manual_seed(1)
            model = net()
            part = replace(plan, section=section.model_copy(update={"epochs": section.epochs}))
            seen: list[int] = []

            def stop(epoch: Epoch, last: int = epochs, done: list[int] = seen) -> None:
                done.append(epoch.epoch)
                if epoch.epoch + 1 == last < section.epochs:
                    raise KeyboardInterrupt

            try:
                fit(model, forward, part, folder, resume=True, device="cpu", on_epoch=stop)
            except KeyboardInterrupt:
                continue
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    whole = trained(tmp_path / "whole", ())
    for stops in ((1,), (2,), (1, 3)):
        again = trained(tmp_path / str(stops), stops)
        assert all(torch.equal(whole[name], again[name]) for name in whole), stops
