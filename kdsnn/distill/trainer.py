"""The training loop, for teachers and students alike: plain, on accelerate, and resumable to the bit.

Nothing random is carried from epoch to epoch: shuffling, augmentation and torch's own generator are seeded anew by
(seed, epoch), and the learning rate is a function of the step. So a run that is killed and resumed at the last finished
epoch ends with the same weights as one that was not, on a CPU.

The weights of the last epoch are the result. Nothing is selected, so no validation split is held out, and the test
split is never seen here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from kdsnn.data.datasets import Split
from kdsnn.distill.augment import AUGMENTATIONS
from kdsnn.distill.checkpoint import load_training, save_training
from kdsnn.errors import InputError, RecipeError
from kdsnn.recipe import TrainSection
from kdsnn.runs import write_atomic

__all__ = ["CHECKPOINT", "METRICS", "Batch", "Epoch", "Plan", "fit", "learning_rate"]

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"
WARM_UP = 0.3  # share of the steps, of a one-cycle schedule
START, END = 1 / 25, 1e-4  # of the highest learning rate


@dataclass(frozen=True)
class Batch:
    """What a model is trained on in a step.

    Attributes:
        images: `(B, C, H, W)` in [0, 1], augmented.
        labels: `(B,)`.
        index: which images of the training split these are, `(B,)`.
        progress: of the training, from 0 at the first step to 1 at the last.
    """

    images: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    progress: float


Forward = Callable[[nn.Module, Batch], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Epoch:
    """One line of `metrics.jsonl`: means over an epoch's training images."""

    epoch: int
    loss: float
    accuracy: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What to train on, and how.

    Attributes:
        section: epochs, batch size, optimizer and schedule.
        split: the training images.
        augment: name of an augmentation.
        seed: of everything random.
        title: shown beside the progress bar.
    """

    section: TrainSection
    split: Split
    augment: str
    seed: int
    title: str


def fit(
    model: nn.Module, forward: Forward, plan: Plan, folder: Path, *, resume: bool, device: str | None = None
) -> None:
    """Trains a model in place.

    Args:
        model: what to train.
        forward: from the model and a batch to the loss, and scores `(B, classes)` whose largest is the answer.
        plan: what to train on, and how.
        folder: where `metrics.jsonl` and, after each epoch, `checkpoint.safetensors` go.
        resume: go on from the checkpoint, where there is one.
        device: `cpu`, or None for what accelerate finds.

    Raises:
        InputError: the checkpoint is broken, or the folder cannot be written to.
        RecipeError: the loss is not finite any more.
    """
    accelerator = Accelerator(cpu=device == "cpu")
    section = plan.section
    optimizer = _optimizer(model, section)
    model, optimizer = accelerator.prepare(model, optimizer)
    inner = accelerator.unwrap_model(model)
    checkpoint = folder / CHECKPOINT
    first = load_training(inner, optimizer, checkpoint) if resume and checkpoint.is_file() else 0
    metrics = _metrics(folder / METRICS)[:first]  # an epoch that was cut off is trained, and written, again
    images = torch.from_numpy(plan.split.images).to(accelerator.device)
    labels = torch.from_numpy(plan.split.labels).to(accelerator.device)
    batches = math.ceil(len(labels) / section.batch_size)
    steps = section.epochs * batches
    with _bar(plan.title, steps, first * batches, show=accelerator.is_main_process) as tick:
        for epoch in range(first, section.epochs):
            began, loss_sum, hits, seen, lr = time.perf_counter(), 0.0, 0, 0, 0.0
            inner.train()
            for step, index, generator in _batches(plan, epoch):
                number = epoch * batches + step
                lr = learning_rate(section, number, steps)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                mine = index[accelerator.process_index :: accelerator.num_processes].to(accelerator.device)
                x = AUGMENTATIONS[plan.augment](images[mine].float() / 255, generator)
                batch = Batch(x, labels[mine], mine, number / max(1, steps - 1))
                loss, scores = forward(model, batch)
                optimizer.zero_grad(set_to_none=True)
                accelerator.backward(loss)
                if section.clip_norm is not None:
                    accelerator.clip_grad_norm_(model.parameters(), section.clip_norm)
                optimizer.step()
                loss_sum += loss.item() * len(mine)
                hits += int((scores.argmax(dim=1) == batch.labels).sum())
                seen += len(mine)
                tick(f"epoch {epoch + 1}/{section.epochs}, loss {loss_sum / seen:.3f}, accuracy {hits / seen:.1%}")
            if not math.isfinite(loss_sum):
                raise RecipeError(f"{plan.title}: the loss is not finite in epoch {epoch}", hint="lower its lr")
            done = Epoch(epoch, loss_sum / seen, hits / seen, lr, time.perf_counter() - began)
            metrics.append(json.dumps(asdict(done)))
            if accelerator.is_main_process:
                write_atomic(folder / METRICS, "".join(f"{line}\n" for line in metrics).encode())
                save_training(inner, optimizer, checkpoint, epochs_done=epoch + 1)
    inner.eval()


def learning_rate(section: TrainSection, step: int, steps: int) -> float:
    """The learning rate of a step, from the highest in the section and the schedule."""
    progress = step / max(1, steps - 1)
    if section.schedule == "constant":
        return section.lr
    if section.schedule == "cosine":
        return section.lr * (1 + math.cos(math.pi * progress)) / 2
    if progress < WARM_UP:
        return section.lr * _between(START, 1.0, progress / WARM_UP)
    return section.lr * _between(1.0, END, (progress - WARM_UP) / (1 - WARM_UP))


def _between(first: float, last: float, share: float) -> float:
    """Half a cosine wave from one value to another."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def _optimizer(model: nn.Module, section: TrainSection) -> torch.optim.Optimizer:
    if section.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(), lr=section.lr, momentum=0.9, nesterov=True, weight_decay=section.weight_decay
        )
    return torch.optim.AdamW(model.parameters(), lr=section.lr, weight_decay=section.weight_decay)


def _batches(plan: Plan, epoch: int) -> Iterator[tuple[int, torch.Tensor, torch.Generator]]:
    """Number of the step in the epoch, the images of its batch, and the generator for their augmentation."""
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + epoch)
    torch.manual_seed(plan.seed * 1_000_003 + epoch)
    order = torch.randperm(len(plan.split.labels), generator=generator)
    for step, index in enumerate(torch.split(order, plan.section.batch_size)):
        yield step, index, generator


def _metrics(path: Path) -> list[str]:
    """The lines of the epochs that were trained before."""
    try:
        return path.read_text().splitlines() if path.is_file() else []
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


@contextmanager
def _bar(title: str, total: int, done: int, *, show: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar on stderr with a text and the time left; silent where stderr is no terminal. Yields its tick."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (show and console.is_terminal)) as progress:
        task = progress.add_task(title, total=total, completed=done, state="")
        yield lambda state: progress.update(task, advance=1, state=state)
