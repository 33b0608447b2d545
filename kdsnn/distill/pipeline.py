"""Teachers and students, from a recipe to a folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from kdsnn.data.datasets import Dataset, Split, load_dataset, stratified
from kdsnn.distill.checkpoint import load_model, save_model
from kdsnn.distill.distiller import Distiller, Learner
from kdsnn.distill.features import Pair, find_pairs
from kdsnn.distill.losses.loss import loss_of
from kdsnn.distill.processes import one_writer
from kdsnn.distill.tensorboard import check_tensorboard, epoch_log
from kdsnn.distill.trainer import CHECKPOINT, Batch, Plan, fit
from kdsnn.errors import InputError, RecipeError
from kdsnn.models.operations import count_operations, count_parameters
from kdsnn.models.students import Student, build_student
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.load import load_recipe, recipe_toml
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import RECIPE, read_json, runs_root, write_atomic, write_json

__all__ = [
    "accuracy",
    "distill",
    "load_student",
    "load_teacher",
    "right_answers",
    "teach",
    "teacher_folder",
    "training_split",
]

BATCH = 250  # images at once in evaluation
VALIDATION_SEED = 0


def teach(recipe: Recipe, *, device: str | None = None, tensorboard: bool = False) -> Path:
    """The folder of the recipe's teacher, trained if it is not there yet; an interrupted training goes on.

    It holds `teacher.safetensors` and `result.json` with model, accuracy, parameters, macs and paper_flops.
    """
    folder = teacher_folder(recipe)
    recipe = _of_teacher(recipe)
    dataset = load_dataset(recipe.data.dataset)
    shape = dataset.image_shape
    split, held_out = _training_and_validation(recipe, dataset)
    torch.manual_seed(recipe.seed)
    model = build_teacher(recipe.teacher, shape, len(dataset.labels))
    with one_writer(folder, device) as state:
        if _has(folder, "teacher.safetensors", "result.json"):
            return folder
        loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.teacher.label_smoothing)

        def forward(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
            logits = net(batch.images)
            return loss_of(logits, batch.labels), logits

        plan = Plan(recipe.teacher, split, recipe.data.augment, recipe.seed, "teacher")
        validate = None if held_out is None else lambda net: accuracy(net, held_out)
        began = time.perf_counter()
        with epoch_log(folder, wanted=tensorboard and state.is_main_process) as log:
            fit(model, forward, plan, folder, resume=True, device=device, validate=validate, on_epoch=log)
        if state.is_main_process:
            save_model(model, folder / "teacher.safetensors")
            operations = count_operations(model, shape)
            result = {
                "model": recipe.teacher.model,
                "accuracy": accuracy(model, dataset.test),
                "parameters": count_parameters(model),
                "macs": operations.macs,
                "paper_flops": operations.paper_flops,
                "seconds": time.perf_counter() - began,
            }
            write_json(folder / "result.json", result)
            (folder / CHECKPOINT).unlink(missing_ok=True)
    return folder


def distill(
    recipe: Recipe, *, run: Path, resume: bool = False, device: str | None = None, tensorboard: bool = False
) -> Path:
    """Distils the student of a recipe into a run folder, from a teacher that is trained first if need be.

    The folder gets `recipe.toml`, `teacher.json`, `metrics.jsonl`, `student.safetensors` and `student.json` with
    accuracy on the whole test split, parameters, timesteps and seconds. Under `accelerate launch`, all processes train
    together and the main one writes.

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
    dataset = load_dataset(recipe.data.dataset)
    split, held_out = _training_and_validation(recipe, dataset)
    torch.manual_seed(recipe.seed + 1)
    student = build_student(recipe.student, dataset.image_shape, len(dataset.labels))
    pairs = _check_teacher(recipe, student, dataset)
    learner = Learner(student, pairs)
    with one_writer(run, device) as state:
        if state.is_main_process:
            _claim(recipe, run, resume=resume)
        state.wait_for_everyone()
        if _has(run, "student.safetensors", "student.json"):
            return run
        teacher = None
        if loss_of(recipe.distill).needs_teacher:
            folder = teach(recipe, device=device, tensorboard=tensorboard)
            teacher = load_teacher(recipe, dataset)
            if state.is_main_process:
                write_json(run / "teacher.json", {"folder": str(folder), **read_json(folder / "result.json")})
        plan = Plan(recipe.train, split, recipe.data.augment, recipe.seed + 1, "student")
        unchanged = split.images if recipe.data.augment == "none" else None
        forward = Distiller(recipe.distill, teacher, pairs, unchanged)
        validate = None if held_out is None else _student_accuracy(held_out)
        began = time.perf_counter()
        with epoch_log(run, wanted=tensorboard and state.is_main_process) as log:
            fit(learner, forward, plan, run, resume=resume, device=device, validate=validate, on_epoch=log)
        if state.is_main_process:
            save_model(student, run / "student.safetensors")
            result = {
                "model": recipe.student.model,
                "accuracy": accuracy(student, dataset.test),
                "parameters": count_parameters(student),
                "timesteps": recipe.student.timesteps,
                "seconds": time.perf_counter() - began,
            }
            write_json(run / "student.json", result)
            (run / CHECKPOINT).unlink(missing_ok=True)
    return run


def teacher_folder(recipe: Recipe) -> Path:
    """Where the teacher of a recipe lies: the same for all recipes that train the same one."""
    recipe = _of_teacher(recipe)
    decides = {
        "seed": recipe.seed,
        "data": recipe.data.model_dump(mode="json"),
        "teacher": recipe.teacher.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    return runs_root() / "teachers" / f"{recipe.data.dataset}-{recipe.teacher.model}-{digest}"


def _of_teacher(recipe: Recipe) -> Recipe:
    """The recipe with the seed and the training images that its teacher has."""
    own, data = recipe.teacher, recipe.data
    samples = data.train_samples if own.train_samples is None else own.train_samples
    return recipe.model_copy(
        update={
            "seed": recipe.seed if own.seed is None else own.seed,
            "data": data.model_copy(update={"train_samples": None if samples == "all" else samples}),
            "teacher": own.model_copy(update={"seed": None, "train_samples": None}),
        }
    )


def load_teacher(recipe: Recipe, dataset: Dataset | None = None) -> nn.Module:
    """The trained teacher of a recipe, in eval mode.

    Raises:
        InputError: it was not trained yet, or its file is broken.
    """
    data = dataset or load_dataset(recipe.data.dataset)
    model = build_teacher(recipe.teacher, data.image_shape, len(data.labels))
    load_model(model, teacher_folder(recipe) / "teacher.safetensors")
    return model.eval()


def load_student(run: Path) -> tuple[Recipe, Student]:
    """The recipe of a run and its trained student, in eval mode.

    Raises:
        InputError: the run has no student yet, or a file is broken.
    """
    recipe = load_recipe(str(run / RECIPE))
    weights = run / "student.safetensors"
    if not weights.is_file():
        raise InputError(
            f"run {run} has no student yet", hint=f"go on with: kdsnn distill {run / RECIPE} --run {run} --resume"
        )
    dataset = load_dataset(recipe.data.dataset)
    student = build_student(recipe.student, dataset.image_shape, len(dataset.labels))
    load_model(student, weights)
    return recipe, student.eval()


def accuracy(model: nn.Module, split: Split) -> float:
    """Share of right answers of a teacher or a student, on CPU or wherever the model is."""
    return float(right_answers(model, split).mean())


def right_answers(model: nn.Module, split: Split) -> npt.NDArray[np.bool_]:
    """Whether a teacher or a student is right on each image, on CPU or wherever the model is."""
    device = next(model.parameters()).device
    right = np.empty(len(split.labels), dtype=np.bool_)
    model.eval()
    with torch.inference_mode():
        for begin in range(0, len(right), BATCH):
            x = torch.tensor(split.images[begin : begin + BATCH]).to(device).float() / 255
            answer = model(x).cpu().numpy()
            scores = answer.sum(axis=0) if isinstance(model, Student) else answer
            right[begin : begin + BATCH] = scores.argmax(axis=1) == split.labels[begin : begin + BATCH]
    return right


def _has(folder: Path, *names: str) -> bool:
    return all((folder / name).is_file() for name in names)


def _check_teacher(recipe: Recipe, student: Student, dataset: Dataset) -> tuple[Pair, ...]:
    """The pairs of layers of the recipe's loss; raises where the teacher cannot be built, or has no such layers."""
    if not loss_of(recipe.distill).needs_teacher:
        return ()
    with torch.device("meta"):
        teacher = build_teacher(recipe.teacher, dataset.image_shape, len(dataset.labels))
    if not loss_of(recipe.distill).needs_features:
        return ()
    return find_pairs(recipe, student, teacher, dataset.image_shape)


def training_split(recipe: Recipe, dataset: Dataset) -> Split:
    """The training images of a recipe, without those that are held out for validation."""
    return _training_and_validation(recipe, dataset)[0]


def _training_and_validation(recipe: Recipe, dataset: Dataset) -> tuple[Split, Split | None]:
    """What is learnt from, and what is held out: the same images whatever the seed, so that no teacher saw them."""
    split, held_out, samples = dataset.train, None, recipe.data.validation_samples
    if samples is not None:
        if samples >= len(split.labels):
            raise RecipeError(f"data.validation_samples leaves nothing of {len(split.labels)} training images")
        held_out, split = stratified(split, samples, VALIDATION_SEED)
    if recipe.data.train_samples is not None:
        split = stratified(split, recipe.data.train_samples, recipe.seed)[0]
    return split, held_out


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
