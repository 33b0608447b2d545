"""The training loop, for teachers and students alike: plain, on accelerate, and resumable to the bit.

Nothing random is carried from epoch to epoch: shuffling, augmentation and torch's own generator are seeded anew by
(seed, epoch), and the learning rate is a function of the step. So a run that is killed and resumed at the last finished
epoch ends with the same weights as one that was not, on a CPU.

The weights of the last step are the result, or their moving average; where images are held out for validation, the best
by these. The test split is never seen here.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from kdsnn.choices import OPTIMIZERS, SCHEDULES
from kdsnn.data.datasets import Split
from kdsnn.data.encoders import holds_spikes
from kdsnn.distill.augment import augmented
from kdsnn.distill.checkpoint import load_training, save_training
from kdsnn.distill.kept_weights import Weights
from kdsnn.distill.optimizers import OptimizerKind
from kdsnn.distill.processes import shard
from kdsnn.errors import RecipeError
from kdsnn.files.reading import read_text, reading
from kdsnn.files.writing import write_atomic
from kdsnn.recipes.schema import TrainSection

__all__ = ["CHECKPOINT", "METRICS", "Batch", "Epoch", "Plan", "fit", "learning_rate"]

MOST_METRICS = 2**26  # bytes
NEXT_TEXT_S = 1.0  # beside the progress bar
CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class Batch:
    """What a model is trained on in a step.

    Attributes:
        images: `(B, C, H, W)`, or in time `(B, T, C, H, W)`, in [0, 1], augmented.
        labels: `(B,)`.
        index: which images of the training split these are, `(B,)`.
        progress: of the training, from 0 at the first step to 1 at the last.
    """

    images: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor
    progress: float


Forward = Callable[[nn.Module, Batch], tuple[torch.Tensor, torch.Tensor]]


class Tick(Protocol):
    """A step is done; `state` is what to show, which is asked for seldom."""

    def __call__(self, state: Callable[[], str], *, last: bool) -> None: ...


@dataclass(frozen=True)
class Epoch:
    """One line of `metrics.jsonl`: means over an epoch's training images.

    `accuracy` is that on those with a label. `validation` is that on the images held out, None where there are none.
    """

    epoch: int
    loss: float
    accuracy: float
    lr: float
    seconds: float
    validation: float | None = None


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

    @property
    def batches(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.split.labels) / self.section.batch_size)


def fit(
    model: nn.Module,
    forward: Forward,
    plan: Plan,
    folder: Path,
    *,
    resume: bool,
    device: str | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    after_step: Callable[[], None] | None = None,
    after_epoch: Callable[[], object] | None = None,
) -> None:
    """Trains a model in place.

    Args:
        model: what to train.
        forward: from the model and a batch to the loss, and scores `(B, classes)` whose largest is the answer.
        plan: what to train on, and how.
        folder: where `metrics.jsonl` and, after each epoch, `checkpoint.safetensors` go.
        resume: go on from the checkpoint, where there is one.
        device: `cpu`, or None for what accelerate finds.
        validate: the accuracy of the model on images held out; the weights that are best by it are kept, and training
            stops where the section's patience ends.
        on_epoch: called after each epoch, in the main process.
        after_step: called after each step of the optimizer: it may change the weights.
        after_epoch: called after each epoch, before the weights are judged and kept: it may change them.

    Raises:
        InputError: the checkpoint is broken, or the folder cannot be written to.
        RecipeError: the loss is not finite any more.
    """
    accelerator = Accelerator(cpu=device == "cpu")
    section = plan.section
    kind: OptimizerKind = OPTIMIZERS.get(section.optimizer)
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = kind.build(learnt, section.lr, section.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    inner = accelerator.unwrap_model(model)
    weights = Weights(inner, section.ema_decay)
    checkpoint, first = folder / CHECKPOINT, 0
    if resume and checkpoint.is_file():
        first, copies = load_training(inner, optimizer, checkpoint)
        weights.restore(copies, judged=validate is not None)
    metrics = _metrics(folder / METRICS, first)  # an epoch that was cut off is trained, and written, again
    steps = section.epochs * plan.batches
    show = accelerator.is_main_process
    with _bar(plan.title, steps, first * plan.batches, show=show) as tick:
        one_epoch = _Loop(accelerator, model, optimizer, forward, plan, weights, tick, after_step)
        for epoch in range(first, section.epochs):
            if _stalled(metrics, section.patience):
                break
            done = one_epoch(epoch)
            if after_epoch is not None:
                after_epoch()
            if validate is not None:
                inner.eval()
                judged = torch.tensor(validate(weights.current), dtype=torch.float64, device=accelerator.device)
                done = replace(done, validation=float(broadcast(judged)))  # running statistics differ by process
            metrics.append(done)
            if validate is not None and _best(metrics) is done:
                weights.keep()
            if accelerator.is_main_process:
                write_atomic(folder / METRICS, "".join(f"{_line(m)}\n" for m in metrics).encode())
                save_training(inner, optimizer, checkpoint, epochs_done=epoch + 1, copies=weights.copies())
                if on_epoch is not None:
                    on_epoch(done)
    weights.finish()
    inner.eval()


class _Loop:
    """One epoch after the other."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        forward: Forward,
        plan: Plan,
        weights: Weights,
        tick: Tick,
        after_step: Callable[[], None] | None,
    ) -> None:
        self.accelerator, self.model, self.optimizer = accelerator, model, optimizer
        self.forward, self.plan, self.weights, self.tick = forward, plan, weights, tick
        self.after_step = after_step or (lambda: None)
        self.images = _shared(plan.split.images).to(accelerator.device)
        self.spikes = holds_spikes(plan.split.images)
        self.labels = torch.tensor(plan.split.labels, device=accelerator.device)
        self.bf16 = torch.autocast(
            accelerator.device.type, dtype=torch.bfloat16, enabled=plan.section.precision == "bf16"
        )

    def __call__(self, epoch: int) -> Epoch:
        """Trains one epoch."""
        section, began, lr = self.plan.section, time.perf_counter(), 0.0
        steps, device = section.epochs * self.plan.batches, self.accelerator.device
        sums = torch.zeros(4, dtype=torch.float64, device=device)  # see `_add_up`; read at the end

        def state() -> str:
            loss, seen, hits, labelled = sums.tolist()
            return f"epoch {epoch + 1}/{section.epochs}, loss {loss / seen:.3f}, accuracy {hits / max(1, labelled):.1%}"

        self.model.train()
        for step, index, generator in _batches(self.plan, epoch, device):
            number = epoch * self.plan.batches + step
            lr = learning_rate(section, number, steps)
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            batch = self._batch(index, generator, number / max(1, steps - 1))
            with self.bf16:
                loss, scores = self.forward(self.model, batch)
            self.optimizer.zero_grad(set_to_none=True)
            self.accelerator.backward(loss)
            if section.clip_norm is not None:
                self.accelerator.clip_grad_norm_(self.model.parameters(), section.clip_norm)
            self.optimizer.step()
            self.after_step()
            self.weights.step()
            _add_up(sums, loss, scores, batch.labels)
            self.tick(state, last=step + 1 == self.plan.batches)
        if not math.isfinite(sums[0].item()):
            raise RecipeError(f"{self.plan.title}: the loss is not finite in epoch {epoch}", hint="lower its lr")
        loss_sum, seen, hits, labelled = self.accelerator.reduce(sums, "sum").tolist()
        return Epoch(epoch, loss_sum / seen, hits / labelled, lr, time.perf_counter() - began)

    def _batch(self, index: torch.Tensor, generator: torch.Generator, progress: float) -> Batch:
        """This process's part of a batch. The whole is augmented, so that an image does not depend on the processes."""
        count = self.accelerator.num_processes
        whole = self.images[index].float() / 255
        images = augmented(whole, self.plan.augment, generator, spikes=self.spikes)
        if count > 1:
            mine = shard(torch.arange(len(index), device=index.device), self.accelerator.process_index, count)
            index, images = index[mine], images[mine]
        return Batch(images, self.labels[index], index, progress)


def _shared(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images as a tensor of the same memory: all of a data set are not held twice. Nobody writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images)


def learning_rate(section: TrainSection, step: int, steps: int) -> float:
    """The learning rate of a step, from the highest in the section and the schedule."""
    share: float = SCHEDULES.get(section.schedule)(step / max(1, steps - 1))
    return section.lr * share


def _add_up(sums: torch.Tensor, loss: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> None:
    """Adds a batch to the sums of losses, images, right answers and labels: on their device, for to read is to wait."""
    sums[0] += loss.detach().double() * len(labels)
    sums[1] += len(labels)
    sums[2] += (scores.argmax(dim=1) == labels).sum()
    sums[3] += (labels >= 0).sum()


def _batches(plan: Plan, epoch: int, device: torch.device) -> Iterator[tuple[int, torch.Tensor, torch.Generator]]:
    """Number of the step in the epoch, the images of its batch, and the generator for their augmentation."""
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + epoch)
    torch.manual_seed(plan.seed * 1_000_003 + epoch)
    order = torch.randperm(len(plan.split.labels), generator=generator).to(device, non_blocking=True)
    for step, index in enumerate(torch.split(order, plan.section.batch_size)):
        yield step, index, generator


def _best(metrics: Sequence[Epoch]) -> Epoch:
    """The first of those with the highest accuracy on the images held out."""
    return max(metrics, key=lambda m: -1.0 if m.validation is None else m.validation)


def _stalled(metrics: Sequence[Epoch], patience: int | None) -> bool:
    """Whether none of the last `patience` epochs was better than the best before."""
    return patience is not None and bool(metrics) and metrics[-1].epoch - _best(metrics).epoch >= patience


def _line(epoch: Epoch) -> str:
    return json.dumps({name: value for name, value in asdict(epoch).items() if value is not None})


def _metrics(path: Path, epochs: int) -> list[Epoch]:
    """The epochs that were trained before, at most so many."""
    if not epochs or not path.is_file():
        return []
    lines = read_text(path, MOST_METRICS).splitlines()
    with reading(path):
        return [Epoch(**json.loads(line)) for line in lines[:epochs]]


@contextmanager
def _bar(title: str, total: int, done: int, *, show: bool) -> Iterator[Tick]:
    """A progress bar on stderr with a text and the time left; silent where stderr is no terminal. Yields its tick.

    The text is asked for at an epoch's last step, and else now and then.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (show and sys.stderr.isatty())) as progress:
        task, due = progress.add_task(title, total=total, completed=done, state=""), 0.0

        def tick(state: Callable[[], str], *, last: bool) -> None:
            nonlocal due
            progress.update(task, advance=1)
            if not progress.disable and (last or time.monotonic() >= due):
                progress.update(task, state=state())
                due = time.monotonic() + NEXT_TEXT_S

        yield tick
