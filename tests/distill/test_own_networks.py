"""Networks of a user's own in recipes: kept in runs, read again elsewhere, and refused where they have changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

from kdsnn.cli.app import app
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.student import distill, load_student
from kdsnn.distill.teacher import load_teacher, teach, teacher_folder
from kdsnn.errors import InputError, KdsnnError, LoweringError, RecipeError
from kdsnn.files.reading import read_json
from kdsnn.own_code.functions import load_own
from kdsnn.recipes.load import load_recipe
from kdsnn.steps.quantize_run import quantize_run
from tests.distill import small

NET = """
from torch import nn
import parts

def make():
    return nn.Sequential(parts.conv(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 2))
"""
PARTS = "from torch import nn\n\ndef conv(size):\n    return nn.Conv2d(1, size, 3, padding=1)\n"
SPIKING = """
from torch import nn
from kdsnn.models.neurons import IF, Repeat

def student(timesteps, classes):
    first = nn.Flatten(), nn.Linear(64, 8), Repeat(timesteps), IF(timesteps)
    return nn.Sequential(*first, nn.Linear(8, classes), IF(timesteps))

def recurrent():
    return nn.LSTM(8, 8)

def nothing():
    return {}

def wide():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""
RECIPE = f"""
name = "own"
data = {{ dataset = "{small.NAME}" }}
teacher = {{ model = "nets/my_net.py:make", weights = "ann.safetensors" }}
student = {{ model = "spiking-copy", timesteps = 3 }}
train = {{ epochs = 2, batch_size = 16 }}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a network, its weights, and a recipe; runs lie elsewhere."""
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))
    mine = tmp_path / "mine"
    (mine / "nets").mkdir(parents=True)
    for name, text in {"my_net.py": NET, "parts.py": PARTS, "spiking.py": SPIKING}.items():
        (mine / "nets" / name).write_text(text)
    torch.manual_seed(0)
    save_file(load_own(f"{mine}/nets/my_net.py:make").call().state_dict(), mine / "ann.safetensors")
    (mine / "my.toml").write_text(RECIPE)
    return mine


def run_of(folder: Path, *changes: str, name: str = "run") -> Path:
    return distill(load_recipe(folder / "my.toml", changes), run=folder.parent / name, device="cpu")


def test_a_given_teacher_is_measured_and_not_trained(folder: Path) -> None:
    recipe = load_recipe(folder / "my.toml")
    where = teach(recipe, device="cpu")
    assert where == teacher_folder(recipe)
    made, given = load_file(where / "teacher.safetensors"), load_file(folder / "ann.safetensors")
    assert made.keys() == given.keys()
    assert all(torch.equal(made[name], given[name]) for name in given)
    told = read_json(where / "result.json")
    assert (told["model"], told["weights"]) == ("my_net.py:make", "ann.safetensors")
    net = load_own(f"{folder}/nets/my_net.py:make").call()
    net.load_state_dict(given)
    assert told["accuracy"] == accuracy(net, small.small("", Path()).test)
    assert told["macs"] == 4 * 9 * 64 + 64 * 2
    assert not (where / "metrics.jsonl").exists()


def test_the_other_kinds_of_files_of_weights(folder: Path) -> None:
    given = load_file(folder / "ann.safetensors")
    torch.save(given, folder / "ann.pt")
    same = load_recipe(folder / "my.toml", [f"teacher.weights={folder}/ann.pt"])
    assert teacher_folder(same) == teacher_folder(load_recipe(folder / "my.toml"))
    torch.save({"model": given, "epoch": 3}, folder / "nested.pt")
    torch.save(load_own(f"{folder}/nets/my_net.py:make").call(), folder / "whole.pt")
    save_file({"0.weight": given["0.weight"]}, folder / "part.safetensors")
    for file, text in (
        ("nested.pt", "holds no state dict, but a dict of model, epoch"),
        ("whole.pt", "cannot be read as tensors alone"),
        ("part.safetensors", "does not fit the model"),
        ("none.pt", "there is no file"),
        ("none.safetensors", "there is no file"),
    ):
        with pytest.raises(InputError, match=text):
            run_of(folder, f"teacher.weights={folder}/{file}")
        assert not (folder.parent / "run").exists()


def test_a_run_holds_all_that_it_takes_to_be_read_elsewhere(folder: Path) -> None:
    run = run_of(folder)
    prepared, student = load_student(run)
    before, rates = accuracy(student, prepared.dataset.test), student.rates(torch.rand(3, 1, 8, 8))
    assert rates.shape == (3, 2)
    assert read_json(run / "student.json")["accuracy"] == before
    text = (run / "recipe.toml").read_text()
    assert 'model = "own/teacher/my_net.py:make"' in text
    assert str(folder) not in text
    shutil.rmtree(folder)
    moved = run.rename(run.parent / "moved")
    _, again = load_student(moved)
    assert accuracy(again, prepared.dataset.test) == before
    assert accuracy(load_teacher(moved), prepared.dataset.test) == read_json(moved / "teacher.json")["accuracy"]
    quantized = quantize_run(str(moved), qat_epochs=1, max_disagreement=1)
    assert quantized.float_accuracy == before


@pytest.mark.parametrize("file", ["my_net.py", "parts.py", "weights.safetensors"])
def test_a_run_whose_files_have_changed_is_refused(file: str, folder: Path) -> None:
    run = run_of(folder)
    path = run / "own" / "teacher" / file
    if file.endswith(".py"):
        path.write_text(path.read_text() + "\n# another\n")
    else:
        save_file({name: value + 1 for name, value in load_file(path).items()}, path)
    for read in (load_student, load_teacher):
        with pytest.raises(InputError, match=f"run {run} was made"):
            read(run)


def test_a_run_goes_on_with_the_same_code_wherever_it_lies_and_with_no_other(folder: Path) -> None:
    run = run_of(folder)
    (run / "student.safetensors").unlink()
    elsewhere = folder.rename(folder.parent / "elsewhere")
    distill(load_recipe(elsewhere / "my.toml"), run=run, resume=True, device="cpu")
    distill(load_recipe(run / "recipe.toml"), run=run, resume=True, device="cpu")
    assert (run / "student.safetensors").is_file()
    (elsewhere / "nets" / "parts.py").write_text(PARTS + "# changed\n")
    with pytest.raises(InputError, match="another recipe, or of other code"):
        distill(load_recipe(elsewhere / "my.toml"), run=run, resume=True, device="cpu")


def test_an_interrupted_run_ends_with_the_same_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load_file(run_of(folder, name="whole") / "student.safetensors")
    from kdsnn.distill import trainer

    save, run = trainer.save_training, folder.parent / "cut"

    def cut(*args: Any, **named: Any) -> None:
        save(*args, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "save_training", cut)
    with pytest.raises(KeyboardInterrupt):
        run_of(folder, name="cut")
    monkeypatch.setattr(trainer, "save_training", save)
    distill(load_recipe(folder / "my.toml"), run=run, resume=True, device="cpu")
    resumed = load_file(run / "student.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_copy_begins_with_the_weights_of_its_teacher(folder: Path) -> None:
    slow = run_of(folder, "train.lr=1e-30", "train.weight_decay=0.0")
    given, start = load_file(folder / "ann.safetensors"), load_file(slow / "student.safetensors")
    ours, theirs = start["layers.0.weight"], given["0.weight"]
    ratio = (ours / theirs).flatten(1)
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    assert (ratio > 0).all()


@pytest.mark.parametrize("kind", ["none", "feature", "layer-rates", "per-step", "both"])
def test_a_copy_learns_by_every_loss(kind: str, folder: Path) -> None:
    run = run_of(folder, f"distill.kind={kind}")
    assert (run / "teacher.json").is_file()
    assert read_json(run / "student.json")["model"] == "spiking-copy"


def test_a_teacher_of_ones_own_can_be_trained_and_normalised(folder: Path) -> None:
    (folder / "my.toml").write_text(RECIPE.replace(', weights = "ann.safetensors"', ", epochs = 2"))
    run = run_of(folder, "teacher.mean=[0.5]", "teacher.std=[0.25]")
    teacher = load_teacher(run)
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(teacher(images), teacher.get_submodule("net")((images - 0.5) / 0.25))
    prepared, student = load_student(run)
    assert accuracy(student, prepared.dataset.test) == read_json(run / "student.json")["accuracy"]
    quantize_run(str(run), max_disagreement=1)
    with pytest.raises(RecipeError, match="of each channel"):
        run_of(folder, "teacher.mean=[0.5, 0.1]", name="other")


def test_given_weights_are_those_behind_the_normalisation(folder: Path) -> None:
    run = run_of(folder, "teacher.mean=[0.5]", "teacher.std=[0.25]")
    net = load_own(f"{folder}/nets/my_net.py:make").call()
    net.load_state_dict(load_file(folder / "ann.safetensors"))
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_teacher(run)(images), net((images - 0.5) / 0.25))


def test_a_student_of_ones_own(folder: Path) -> None:
    model = f"student.model={folder}/nets/spiking.py:student"
    run = run_of(folder, model)
    (folder / "nets" / "spiking.py").unlink()
    prepared, student = load_student(run)
    assert [type(m).__name__ for m in student.layers][-1] == "IF"
    assert accuracy(student, prepared.dataset.test) == read_json(run / "student.json")["accuracy"]
    assert read_json(run / "student.json")["model"] == "spiking.py:student"
    assert quantize_run(str(run), max_disagreement=1).model.network.timesteps == 3


def test_a_student_of_ones_own_starts_from_its_weights(folder: Path) -> None:
    torch.manual_seed(9)
    start = load_own(f"{folder}/nets/spiking.py:student").call(timesteps=3, classes=2).state_dict()
    save_file(start, folder / "start.safetensors")
    changes = [f"student.model={folder}/nets/spiking.py:student", f"student.weights={folder}/start.safetensors"]
    run = run_of(folder, *changes, "train.lr=1e-30", "train.weight_decay=0.0")
    made = load_file(run / "student.safetensors")
    assert torch.equal(made["layers.1.weight"], start["1.weight"])
    (folder / "start.safetensors").unlink()
    load_student(run)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        (["teacher.model=nets/none.py:make"], InputError, "there is no file"),
        (["teacher.model=FOLDER/nets/spiking.py:wide"], RecipeError, r"with \(2, 3\), not with 2 logits"),
        (["teacher.model=FOLDER/nets/spiking.py:recurrent"], RecipeError, "cannot take images of"),
        (["teacher.model=FOLDER/nets/spiking.py:student"], InputError, "asks for 'timesteps'"),
        (["student.model=FOLDER/nets/spiking.py:wide"], RecipeError, r"with \(2, 3\), not with \(6, 2\)"),
        (["teacher.model=torchvision:resnet1"], RecipeError, "did you mean 'resnet18'"),
        (["teacher.model=FOLDER/nets/spiking.py:nothing"], RecipeError, "nothing returns a dict"),
        (["distill.kind=feature", "student.model=2conv"], RecipeError, "no stages are known of '2conv' or 'my_net.py:"),
    ],
)  # fmt: skip
def test_what_is_no_such_network_is_refused_before_anything_is_written(
    changes: list[str], error: type[KdsnnError], text: str, folder: Path
) -> None:
    changes = [change.replace("FOLDER", str(folder)) for change in changes]
    with pytest.raises(error, match=text):
        run_of(folder, *changes)
    assert not (folder.parent / "run").exists()


def test_an_ann_that_cannot_be_copied_is_refused_before_its_teacher_is_trained(folder: Path) -> None:
    (folder / "nets" / "my_net.py").write_text(NET.replace("nn.ReLU()", "nn.GELU()"))
    with pytest.raises(LoweringError, match="GELU"):
        run_of(folder)
    assert not (folder.parent / "runs").exists()


def test_torchvisions_names(folder: Path) -> None:
    from kdsnn.models.teachers import build_teacher
    from kdsnn.recipes.schema import TeacherSection

    section = TeacherSection(model="torchvision:squeezenet1_1")
    with pytest.raises(RecipeError, match="teacher torchvision:squeezenet1_1 cannot take images of"):
        build_teacher(section, (1, 8, 8), 7)
    net = build_teacher(section, (3, 40, 40), 7)
    assert isinstance(net, nn.Module)
    assert net.eval()(torch.rand(2, 3, 40, 40)).shape == (2, 7)


def test_the_commands_show_what_the_given_teacher_is_worth(folder: Path) -> None:
    run = folder.parent / "shown"
    done = CliRunner().invoke(app, ["distill", str(folder / "my.toml"), "--run", str(run)])
    assert done.exit_code == 0, done.output
    told = json.loads((run / "teacher.json").read_text())
    assert f"teacher accuracy {100 * told['accuracy']:.2f}% (my_net.py:make with ann.safetensors)" in done.output
