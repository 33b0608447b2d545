"""Teachers: trained once for all runs that share one, and kept inside each run that learnt from it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import torch
from torch import nn

from kdsnn.data.identity import identify_test
from kdsnn.data.sources import reference
from kdsnn.distill.accuracy import accuracy
from kdsnn.distill.checkpoint import load_given, load_model, save_model
from kdsnn.distill.own_networks import identity, recipe_of
from kdsnn.distill.preparation import Preparation, for_teacher, of_teacher, prepare
from kdsnn.distill.processes import one_writer
from kdsnn.distill.tensorboard import epoch_log
from kdsnn.distill.trainer import CHECKPOINT, Batch, Plan, fit
from kdsnn.errors import InputError
from kdsnn.files.reading import read_json
from kdsnn.files.writing import copy, make_folder, remove, write_json
from kdsnn.jobs.interruption import to_go_on
from kdsnn.models.operations import count_operations, count_parameters
from kdsnn.models.teachers import bare, build_teacher
from kdsnn.own_code.functions import title_of
from kdsnn.recipes.schema import Recipe
from kdsnn.run_folders import RECIPE, runs_root

__all__ = ["given_teacher", "install_teacher", "load_teacher", "teach", "teacher_folder", "train_teacher"]

WEIGHTS, RESULT = "teacher.safetensors", "result.json"
FOLDER = "teacher"  # inside a run
TOLD = "teacher.json"  # what a run tells of its teacher


def teach(recipe: Recipe, *, device: str | None = None, tensorboard: bool = False) -> Path:
    """The folder of the recipe's teacher, which is trained if it is not there yet; see `train_teacher`."""
    return train_teacher(prepare(recipe), device=device, tensorboard=tensorboard)


def train_teacher(prepared: Preparation, *, device: str | None = None, tensorboard: bool = False) -> Path:
    """The folder of the teacher, trained if it is not there yet; an interrupted training goes on.

    It holds `teacher.safetensors` and `result.json` with model, accuracy, parameters, macs and paper_flops. Where the
    recipe gives its weights, it is not trained: these are put there, and `result.json` names their file.
    """
    if prepared.recipe.teacher.weights is not None:
        return _given(prepared)
    folder, own = teacher_folder(prepared.recipe), for_teacher(prepared)
    section, seed, shape = own.recipe.teacher, own.recipe.seed, own.dataset.image_shape
    torch.manual_seed(seed)
    model = build_teacher(section, shape, own.classes)
    with one_writer(folder, device) as state:
        if all((folder / name).is_file() for name in (WEIGHTS, RESULT)):
            return folder
        loss_of = nn.CrossEntropyLoss(label_smoothing=section.label_smoothing)

        def forward(net: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
            logits = net(batch.images)
            return loss_of(logits, batch.labels), logits

        plan = Plan(section, own.split, own.recipe.data.augment, seed, "teacher")
        held_out = own.held_out
        validate = None if held_out is None else lambda net: accuracy(net, held_out)
        began = time.perf_counter()
        goes_on = to_go_on("the same command again goes on after the last finished epoch")
        with goes_on, epoch_log(folder, wanted=tensorboard and state.is_main_process) as log:
            fit(model, forward, plan, folder, resume=True, device=device, validate=validate, on_epoch=log)
        if state.is_main_process:
            _write(model, own, folder, seconds=time.perf_counter() - began)
            remove(folder / CHECKPOINT)
    return folder


def given_teacher(prepared: Preparation) -> nn.Module:
    """The teacher with the weights that its recipe gives.

    Raises:
        InputError: their file is missing or broken, or holds those of another network.
    """
    section = prepared.recipe.teacher
    model = build_teacher(section, prepared.dataset.image_shape, prepared.classes)
    load_given(bare(section, model), Path(section.weights or ""))
    return model


def _given(prepared: Preparation) -> Path:
    """The folder of a teacher whose weights are given: it is not trained, and its accuracy is measured."""
    folder = teacher_folder(prepared.recipe)
    with one_writer(folder) as state:
        if state.is_main_process and not all((folder / name).is_file() for name in (WEIGHTS, RESULT)):
            _write(given_teacher(prepared), prepared, folder, weights=Path(prepared.recipe.teacher.weights or "").name)
    return folder


def _write(model: nn.Module, prepared: Preparation, folder: Path, **more: float | str) -> None:
    """Writes the weights of a teacher, and what is known of it."""
    save_model(model, folder / WEIGHTS)
    operations = count_operations(model, prepared.dataset.image_shape)
    result = {
        "model": title_of(prepared.recipe.teacher.model),
        "accuracy": accuracy(model, prepared.dataset.test),
        "data": identify_test(prepared.dataset).as_json(),
        "parameters": count_parameters(model),
        "macs": operations.macs,
        "paper_flops": operations.paper_flops,
        **more,
    }
    write_json(folder / RESULT, result)


def teacher_folder(recipe: Recipe) -> Path:
    """Where the teacher of a recipe is trained: the same for all recipes that train the same one.

    What a recipe leaves as it is does not count: a setting that a later version adds changes no folder.
    """
    recipe, name = identity(of_teacher(recipe)), re.sub(r"[^\w.-]", "-", title_of(recipe.teacher.model))
    decides = {
        "seed": recipe.seed,
        "data": recipe.data.model_dump(mode="json", exclude_defaults=True),
        "teacher": recipe.teacher.model_dump(mode="json", exclude_defaults=True),
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    title = re.sub(r"[^\w.-]+", "-", reference.title_of(recipe.data.dataset)).lstrip(".-")
    return runs_root() / "teachers" / f"{title}-{name}-{digest}"


def install_teacher(folder: Path, run: Path) -> None:
    """Puts a trained teacher into a run, which then holds all that its commands need, wherever it goes."""
    inside = run / FOLDER
    make_folder(inside)
    for name in (WEIGHTS, RESULT):
        copy(folder / name, inside / name, linked=True)
    write_json(run / TOLD, {"folder": FOLDER, **read_json(inside / RESULT)})


def load_teacher(run: Path, prepared: Preparation | None = None) -> nn.Module:
    """The teacher that a run learnt from, in eval mode.

    Args:
        run: the run folder.
        prepared: the run's recipe with its data, where it is there already.

    Raises:
        InputError: the run holds no teacher, or its file is broken.
    """
    weights = run / FOLDER / WEIGHTS
    if not weights.is_file():
        raise InputError(
            f"the teacher of run {run} is gone: there is no {FOLDER}/{WEIGHTS} in it",
            hint=f"put it back, or distil again: kdsnn distill {run / RECIPE} --run NEW",
        )
    prepared = prepared or prepare(recipe_of(run))
    model = build_teacher(prepared.recipe.teacher, prepared.dataset.image_shape, prepared.classes)
    load_model(model, weights)
    return model.eval()
