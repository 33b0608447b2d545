"""From a recipe to a run folder: what lies in it, teachers that are reused, runs that are cut off, killed or wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdsnn.data.datasets import load_dataset
from kdsnn.distill import teacher as teachers
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.checkpoint import load_tensors
from kdsnn.distill.student import distill, load_student
from kdsnn.distill.teacher import load_teacher, teach, teacher_folder
from kdsnn.errors import InputError, RecipeError
from kdsnn.files.reading import read_json
from kdsnn.models.operations import count_operations, count_parameters
from kdsnn.recipes.schema import DataSection, Recipe, TeacherSection
from kdsnn.run_folders import find_run, lock
from tests.distill.small import NAME, recipe


def changed(section: str, **values: object) -> Recipe:
    base = recipe()
    return base.model_copy(update={section: getattr(base, section).model_copy(update=values)})


def test_a_run_holds_what_it_should(tmp_path: Path) -> None:
    wanted = recipe(epochs=20)
    run = distill(wanted, run=tmp_path / "run", device="cpu")
    assert sorted(p.name for p in run.iterdir()) == [
        ".lock",
        "metrics.jsonl",
        "recipe.toml",
        "student.json",
        "student.safetensors",
        "teacher",
        "teacher.json",
    ]
    assert sorted(p.name for p in (run / "teacher").iterdir()) == ["result.json", "teacher.safetensors"]
    prepared, student = load_student(run)
    assert prepared.recipe == wanted
    assert not student.training
    test = load_dataset(NAME).test
    result = read_json(run / "student.json")
    assert result["accuracy"] == accuracy(student, test) > 0.9
    assert (result["parameters"], result["timesteps"]) == (count_parameters(student), 2)
    teacher = load_teacher(run)
    told = read_json(run / "teacher.json")
    assert told["folder"] == "teacher"  # inside the run, wherever that is
    assert told["accuracy"] == accuracy(teacher, test)
    assert told["macs"] == count_operations(teacher, (1, 8, 8)).macs
    assert told["parameters"] == count_parameters(teacher)


def test_accuracy_is_that_of_the_spike_counts(tmp_path: Path) -> None:
    _, student = load_student(distill(recipe(), run=tmp_path / "run", device="cpu"))
    test = load_dataset(NAME).test
    with torch.no_grad():
        counts = student(torch.tensor(test.images).float() / 255).sum(dim=0).numpy()
    assert accuracy(student, test) == (counts.argmax(axis=1) == test.labels).mean()


def test_a_teacher_is_trained_once_and_reused(tmp_path: Path) -> None:
    folder = teach(recipe(), device="cpu")
    before = (folder / "teacher.safetensors").stat().st_mtime_ns
    assert teach(changed("train", lr=0.5), device="cpu") == folder  # the student's training does not matter
    distill(recipe(), run=tmp_path / "run", device="cpu")
    assert (folder / "teacher.safetensors").stat().st_mtime_ns == before
    others = [changed("teacher", width=0.25), changed("data", augment="none"), recipe().model_copy(update={"seed": 4})]
    assert len({folder, *map(teacher_folder, others)}) == 4


def test_a_teacher_of_its_own_seed_is_shared_by_students_of_several(tmp_path: Path) -> None:
    shared = changed("teacher", seed=7)
    other = shared.model_copy(update={"seed": 4})
    assert teacher_folder(shared) == teacher_folder(other)
    same = recipe().model_copy(update={"seed": 7})
    assert teacher_folder(shared) == teacher_folder(same)
    folder = teach(shared, device="cpu")
    wanted = load_tensors(folder / "teacher.safetensors")
    run = distill(other, run=tmp_path / "run", device="cpu")
    assert all(torch.equal(wanted[name], tensor) for name, tensor in load_teacher(run).state_dict().items())


def test_a_setting_that_a_later_version_adds_trains_no_teacher_anew() -> None:
    class LaterData(DataSection):
        sharpness: float | None = None

    class LaterTeacher(TeacherSection):
        warmup: int = 0

    known = recipe()
    sections = {"data": LaterData(**known.data.model_dump()), "teacher": LaterTeacher(**known.teacher.model_dump())}
    assert teacher_folder(known.model_copy(update=sections)) == teacher_folder(known)
    sections["teacher"] = LaterTeacher(**known.teacher.model_dump(), warmup=3)
    assert teacher_folder(known.model_copy(update=sections)) != teacher_folder(known)


def test_a_teacher_may_have_seen_more_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(teachers, "fit", lambda _m, _f, plan, *_a, **_k: seen.append(len(plan.split.labels)))
    few = changed("data", train_samples=20)
    more = [
        few.model_copy(update={"teacher": few.teacher.model_copy(update={"train_samples": n})}) for n in (30, "all")
    ]
    for wanted in (few, *more):
        teach(wanted, device="cpu")
    assert seen == [20, 30, 50]
    assert len({teacher_folder(r) for r in (few, *more)}) == 3


def test_alone_needs_no_teacher(tmp_path: Path) -> None:
    run = distill(changed("distill", kind="none"), run=tmp_path / "run", device="cpu")
    assert not (run / "teacher.json").exists()
    assert not teacher_folder(recipe()).exists()


def test_the_teacher_decides_what_the_student_learns(tmp_path: Path) -> None:
    weights = []
    for alpha in (0.5, 0.5, 0.0):
        run = distill(changed("distill", alpha=alpha), run=tmp_path / f"run{len(weights)}", device="cpu")
        weights.append(load_tensors(run / "student.safetensors"))
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])
    assert not torch.equal(weights[0]["layers.conv1.weight"], weights[2]["layers.conv1.weight"])


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    run = distill(recipe(), run=tmp_path / "run", device="cpu")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    distill(recipe(), run=run, resume=True, device="cpu")
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run = distill(recipe(), run=tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match="holds a run already"):
        distill(recipe(), run=run)
    with pytest.raises(InputError, match="holds a run of another recipe"):
        distill(changed("train", lr=0.5), run=run, resume=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (changed("student", channels=(4,)), "two channel counts"),
        (changed("distill", alpha=1.5), "distill.alpha is 1.5: in the loss 'response' it is the teacher's share"),
        (changed("data", train_samples=51), "51 samples cannot be taken of 50"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_written(tmp_path: Path, wrong: Recipe, message: str) -> None:
    with pytest.raises(InputError, match=message):
        distill(wrong, run=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "runs").exists()


def test_a_teacher_that_cannot_be_built_leaves_no_folder(tmp_path: Path) -> None:
    wrong = changed("teacher", width=0.01)
    with pytest.raises(RecipeError, match="leaves no channels of teacher 'cnn'"):
        teach(wrong)
    assert not teacher_folder(wrong).exists()


def test_a_part_of_the_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(teachers, "fit", lambda _m, _f, plan, *_a, **_k: seen.append(len(plan.split.labels)))
    teach(changed("data", train_samples=30), device="cpu")
    assert seen == [30]


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with lock(run), pytest.raises(InputError, match="another process is working on"):
        distill(recipe(), run=run, device="cpu")
    assert not (run / "recipe.toml").exists()


def test_a_run_without_a_student_says_how_to_go_on(tmp_path: Path) -> None:
    run = distill(recipe(), run=tmp_path / "run", device="cpu")
    (run / "student.safetensors").unlink()
    with pytest.raises(InputError, match="no student yet") as raised:
        load_student(run)
    assert "--resume" in raised.value.hint


def test_a_run_without_its_teacher_says_what_to_do(tmp_path: Path) -> None:
    run = distill(recipe(), run=tmp_path / "run", device="cpu")
    (run / "teacher" / "teacher.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"teacher of run .* is gone: there is no teacher/teacher\.safetensors"
    ) as gone:
        load_teacher(run)
    assert "kdsnn distill" in gone.value.hint


KILLED = """
import os, signal, sys
from pathlib import Path
from kdsnn.choices import AUGMENTATIONS
from kdsnn.distill import augment
from kdsnn.distill.student import distill
from tests.distill.small import recipe

steps, affine = 0, augment.affine

def killing(images, generator):
    global steps
    steps += 1
    if steps == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return affine(images, generator)

AUGMENTATIONS.own["affine"] = killing
distill(recipe(), run=Path(sys.argv[1]), device="cpu")
"""


def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
    run = tmp_path / "killed"
    step = 4 + 6  # the teacher takes four; in the second epoch of the student
    killed = subprocess.run([sys.executable, "-c", KILLED, run, str(step)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (run / "student.json").exists()
    assert find_run(str(run)) == run  # claimed, and to be resumed
    distill(recipe(), run=run, resume=True, device="cpu")
    resumed = load_tensors(run / "student.safetensors")
    teacher = load_tensors(teacher_folder(recipe()) / "teacher.safetensors")

    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "others"))
    whole = load_tensors(distill(recipe(), run=tmp_path / "whole", device="cpu") / "student.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    whole_teacher = load_tensors(teacher_folder(recipe()) / "teacher.safetensors")
    assert all(torch.equal(whole_teacher[name], teacher[name]) for name in teacher)
