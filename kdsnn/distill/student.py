"""Students, from a recipe to a run folder."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn

from kdsnn.data.datasets import Split
from kdsnn.data.identity import identify_test
from kdsnn.data.sources.save import save_data
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.checkpoint import load_given, load_model, save_model
from kdsnn.distill.distiller import Distiller
from kdsnn.distill.learner import Learner, Watched, what_to_watch
from kdsnn.distill.losses.loss import check_alpha, loss_of
from kdsnn.distill.own_networks import bring_along, identity, needs_teacher, recipe_of
from kdsnn.distill.preparation import IN_MEMORY, Preparation, prepare
from kdsnn.distill.processes import one_writer
from kdsnn.distill.teacher import given_teacher, install_teacher, load_teacher, train_teacher
from kdsnn.distill.tensorboard import epoch_log
from kdsnn.distill.trainer import CHECKPOINT, Plan, fit
from kdsnn.errors import InputError, RecipeError
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.traced import Order
from kdsnn.extras import need
from kdsnn.files.writing import write_atomic, write_json
from kdsnn.jobs.interruption import to_go_on
from kdsnn.models.operations import count_parameters
from kdsnn.models.students import Student, build_student, is_copy
from kdsnn.models.teachers import build_teacher
from kdsnn.own_code.functions import is_reference, title_of
from kdsnn.recipes.load import recipe_toml
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import RECIPE, recipe_path

__all__ = ["BESIDE", "distill", "load_student", "watched_by"]

WEIGHTS, RESULT = "student.safetensors", "student.json"
BESIDE = "beside.safetensors"  # what was learnt beside the student, where the loss learns anything
BALANCED_ON = 512  # training images


def distill(
    recipe: Recipe,
    *,
    run: Path,
    data: object = None,
    resume: bool = False,
    device: str | None = None,
    tensorboard: bool = False,
) -> Path:
    """Distils the student of a recipe into a run folder, from a teacher that is trained first if need be.

    The folder gets `recipe.toml`, `teacher/`, `teacher.json`, `metrics.jsonl`, `student.safetensors` and `student.json`
    with accuracy on the whole test split, parameters, timesteps and seconds. Under `accelerate launch`, all processes
    train together and the main one writes.

    Args:
        recipe: what to train.
        run: the folder, made if missing.
        data: arrays, a torch data set, or what else `kdsnn.data.sources.load.load_data` takes, instead of the recipe's
            data set; the run keeps what is in memory alone, as `data.npz`.
        resume: go on where a run of the same recipe was interrupted; a finished one is left as it is.
        device: `cpu`, or None for what accelerate finds.
        tensorboard: write the metrics for TensorBoard, too.

    Raises:
        InputError: the folder holds a run already, or one of another recipe.
        RecipeError: the recipe names something that does not exist, or that does not fit; nothing is written then.
        MissingExtraError: TensorBoard is not installed.
    """
    if tensorboard:
        need("tensorboard")
    _check(recipe)
    prepared = prepare(recipe, data)
    recipe = prepared.recipe
    torch.manual_seed(recipe.seed + 1)
    student = _new_student(prepared)
    if recipe.teacher.weights is not None and needs_teacher(recipe):
        given_teacher(prepared)  # says now what is wrong with it
    loss = loss_of(recipe.distill)
    watched = watched_by(prepared, student)
    learner = Learner(student, watched)
    with one_writer(run, device) as state, ExitStack() as stack:
        if state.is_main_process:
            _claim(prepared, run, resume=resume)
        state.wait_for_everyone()
        if all((run / name).is_file() for name in (WEIGHTS, RESULT)):
            return run
        stack.enter_context(to_go_on(_resumed(run)))
        teacher = None
        if needs_teacher(recipe):
            folder = train_teacher(prepared, device=device, tensorboard=tensorboard)
            if state.is_main_process:
                install_teacher(folder, run)
            state.wait_for_everyone()
            teacher = load_teacher(run, prepared)
        if is_copy(recipe.student.model):
            learner.student = student = _new_student(prepared, teacher)
        plan = Plan(recipe.train, prepared.split, recipe.data.augment, recipe.seed + 1, "student")
        unchanged = prepared.split.images if recipe.data.augment == "none" else None
        forward = Distiller(recipe.distill, teacher if loss.needs_teacher else None, watched, unchanged)
        validate = None if prepared.held_out is None else _student_accuracy(prepared.held_out)
        began = time.perf_counter()
        with epoch_log(run, wanted=tensorboard and state.is_main_process) as log:
            fit(learner, forward, plan, run, resume=resume, device=device, validate=validate, on_epoch=log)
        if state.is_main_process:
            save_model(student, run / WEIGHTS)
            if learner.beside.state_dict():
                save_model(learner.beside, run / BESIDE)
            result = {
                "model": title_of(recipe.student.model),
                "accuracy": accuracy(student, prepared.dataset.test),
                "data": identify_test(prepared.dataset).as_json(),
                "parameters": count_parameters(student),
                "timesteps": recipe.student.timesteps,
                "seconds": time.perf_counter() - began,
            }
            write_json(run / RESULT, result)
            (run / CHECKPOINT).unlink(missing_ok=True)
    return run


def load_student(run: Path) -> tuple[Preparation, Student]:
    """The recipe of a run with its data, and its trained student, in eval mode.

    Raises:
        InputError: the run has no student yet, or a file is broken.
    """
    recipe = recipe_of(run)
    if not (run / WEIGHTS).is_file():
        raise InputError(f"run {run} has no student yet", hint=_resumed(run))
    prepared = prepare(recipe)
    shape, classes = prepared.dataset.image_shape, prepared.classes
    teacher = build_teacher(recipe.teacher, shape, classes) if is_copy(recipe.student.model) else None
    student = build_student(recipe.student, shape, classes, teacher=teacher, encode=prepared.dataset.encode)
    load_model(student, run / WEIGHTS)
    return prepared, student.eval()


def _resumed(run: Path) -> str:
    return f"go on with: kdsnn distill {shlex.quote(str(run / RECIPE))} --run {shlex.quote(str(run))} --resume"


def _new_student(prepared: Preparation, teacher: nn.Module | None = None) -> Student:
    """The student of a recipe before its training, which can be lowered.

    Args:
        prepared: the recipe with its data.
        teacher: what a copy starts from; None makes one whose weights are of no use yet.
    """
    section, shape, classes = prepared.recipe.student, prepared.dataset.image_shape, prepared.classes
    if not is_copy(section.model):
        student = build_student(section, shape, classes, encode=prepared.dataset.encode)
    elif teacher is None:
        teacher = build_teacher(prepared.recipe.teacher, shape, classes)
        student = build_student(section, shape, classes, teacher=teacher, encode=prepared.dataset.encode)
    else:
        images = torch.tensor(prepared.split.images[:BALANCED_ON]).float() / 255
        student = build_student(section, shape, classes, teacher=teacher, images=images)
    if section.weights is not None:
        load_given(student.layers, Path(section.weights))
    if is_copy(section.model) or is_reference(section.model):  # others can be; these shall say so before the training
        student.eval()
        lower(
            student.layers,
            input_shape=prepared.dataset.frame_shape,
            timesteps=section.timesteps,
            labels=prepared.dataset.labels,
            in_time=Order.FOLDED if student.in_time else None,
        )
        student.train()
    return student


def _check(recipe: Recipe) -> None:
    """Raises RecipeError for what a recipe's loss cannot use."""
    check_alpha(recipe.distill)
    if recipe.data.unlabelled_samples is not None and not loss_of(recipe.distill).needs_teacher:
        raise RecipeError(f"data.unlabelled_samples: the loss {recipe.distill.kind!r} learns nothing without labels")


def watched_by(prepared: Preparation, student: Student) -> Watched:
    """What the recipe's loss watches; raises where the teacher cannot be built, or has no such layers."""
    recipe, shape = prepared.recipe, prepared.dataset.image_shape
    if not loss_of(recipe.distill).needs_teacher:
        return Watched()
    own = is_reference(recipe.teacher.model)  # whose code may load what is not there on a device without numbers
    with torch.device("cpu" if own else "meta"):
        teacher = build_teacher(recipe.teacher, shape, prepared.classes)
    return what_to_watch(recipe, student, teacher, shape)


def _student_accuracy(split: Split) -> Callable[[nn.Module], float]:
    def of(learner: nn.Module) -> float:
        assert isinstance(learner, Learner)  # noqa: S101
        return accuracy(learner.student, split)

    return of


def _claim(prepared: Preparation, run: Path, *, resume: bool) -> None:
    """Makes the folder this recipe's, or raises where it is another's. The caller holds its lock."""
    path, recipe = recipe_path(run), prepared.recipe
    if not path.is_file():
        if recipe.data.dataset == IN_MEMORY:
            save_data(prepared.dataset, run / IN_MEMORY)
        write_atomic(path, recipe_toml(bring_along(recipe, run)).encode())
        return
    if not resume:
        raise InputError(f"{run} holds a run already", hint="take another folder, or go on with --resume")
    kept, now = identity(recipe_of(run)), identity(recipe)
    if recipe.data.dataset == IN_MEMORY:
        now = now.model_copy(update={"data": now.data.model_copy(update={"dataset": kept.data.dataset})})
    same_data = kept.model_copy(update={"data": kept.data.model_copy(update={"sha256": now.data.sha256})})
    if kept != now == same_data:
        raise InputError(f"the data of {run} were changed since", hint="put them back, or take another folder")
    if kept != now:
        raise InputError(f"{run} holds a run of another recipe, or of other code", hint=f"resume with its own: {path}")
