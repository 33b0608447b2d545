"""Students, from a recipe to a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from kdsnn.data.datasets import Split
from kdsnn.data.identity import identify_test
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.checkpoint import load_model, save_model
from kdsnn.distill.distiller import Distiller, Learner
from kdsnn.distill.features import Pair, find_pairs
from kdsnn.distill.losses.loss import Loss, loss_of
from kdsnn.distill.preparation import Preparation, prepare
from kdsnn.distill.processes import one_writer
from kdsnn.distill.teacher import install_teacher, load_teacher, train_teacher
from kdsnn.distill.tensorboard import check_tensorboard, epoch_log
from kdsnn.distill.trainer import CHECKPOINT, Plan, fit
from kdsnn.errors import InputError
from kdsnn.models.operations import count_parameters
from kdsnn.models.students import Student, build_student
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import RECIPE, write_atomic, write_json

__all__ = ["distill", "load_student"]

WEIGHTS, RESULT = "student.safetensors", "student.json"


def distill(
    recipe: Recipe, *, run: Path, resume: bool = False, device: str | None = None, tensorboard: bool = False
) -> Path:
    """Distils the student of a recipe into a run folder, from a teacher that is trained first if need be.

    The folder gets `recipe.toml`, `teacher/`, `teacher.json`, `metrics.jsonl`, `student.safetensors` and `student.json`
    with accuracy on the whole test split, parameters, timesteps and seconds. Under `accelerate launch`, all processes
    train together and the main one writes.

    Args:
        recipe: what to train.
        run: the folder, made if missing.
        resume: go on where a run of the same recipe was interrupted; a finished one is left as it is.
        device: `cpu`, or None for what accelerate finds.
        tensorboard: write the metrics for TensorBoard, too.

    Raises:
        InputError: the folder holds a run already, or one of another recipe.
        RecipeError: the recipe names something that does not exist, or that does not fit; nothing is written then.
        MissingExtraError: TensorBoard is not installed.
    """
    if tensorboard:
        check_tensorboard()
    prepared = prepare(recipe)
    torch.manual_seed(recipe.seed + 1)
    student = build_student(recipe.student, prepared.dataset.image_shape, prepared.classes)
    loss = loss_of(recipe.distill)
    pairs = _pairs(prepared, student, loss)
    learner = Learner(student, pairs)
    with one_writer(run, device) as state:
        if state.is_main_process:
            _claim(recipe, run, resume=resume)
        state.wait_for_everyone()
        if all((run / name).is_file() for name in (WEIGHTS, RESULT)):
            return run
        teacher = None
        if loss.needs_teacher:
            folder = train_teacher(prepared, device=device, tensorboard=tensorboard)
            if state.is_main_process:
                install_teacher(folder, run)
            state.wait_for_everyone()
            teacher = load_teacher(run, prepared)
        plan = Plan(recipe.train, prepared.split, recipe.data.augment, recipe.seed + 1, "student")
        unchanged = prepared.split.images if recipe.data.augment == "none" else None
        forward = Distiller(recipe.distill, teacher, pairs, unchanged)
        validate = None if prepared.held_out is None else _student_accuracy(prepared.held_out)
        began = time.perf_counter()
        with epoch_log(run, wanted=tensorboard and state.is_main_process) as log:
            fit(learner, forward, plan, run, resume=resume, device=device, validate=validate, on_epoch=log)
        if state.is_main_process:
            save_model(student, run / WEIGHTS)
            result = {
                "model": recipe.student.model,
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
    recipe = load_recipe(str(run / RECIPE))
    if not (run / WEIGHTS).is_file():
        raise InputError(
            f"run {run} has no student yet", hint=f"go on with: kdsnn distill {run / RECIPE} --run {run} --resume"
        )
    prepared = prepare(recipe)
    student = build_student(recipe.student, prepared.dataset.image_shape, prepared.classes)
    load_model(student, run / WEIGHTS)
    return prepared, student.eval()


def _pairs(prepared: Preparation, student: Student, loss: Loss) -> tuple[Pair, ...]:
    """The pairs of layers of the recipe's loss; raises where the teacher cannot be built, or has no such layers."""
    if not loss.needs_teacher:
        return ()
    recipe, shape = prepared.recipe, prepared.dataset.image_shape
    with torch.device("meta"):
        teacher = build_teacher(recipe.teacher, shape, prepared.classes)
    return find_pairs(recipe, student, teacher, shape) if loss.needs_features else ()


def _student_accuracy(split: Split) -> Callable[[nn.Module], float]:
    def of(learner: nn.Module) -> float:
        assert isinstance(learner, Learner)  # noqa: S101
        return accuracy(learner.student, split)

    return of


def _claim(recipe: Recipe, run: Path, *, resume: bool) -> None:
    """Makes the folder this recipe's, or raises where it is another's. The caller holds its lock."""
    path = run / RECIPE
    text = recipe_toml(recipe).encode()
    if not path.is_file():
        write_atomic(path, text)
        return
    if not resume:
        raise InputError(f"{run} holds a run already", hint="take another folder, or go on with --resume")
    if load_recipe(str(path)) != recipe:
        raise InputError(f"{run} holds a run of another recipe", hint=f"resume with its own: {path}")
