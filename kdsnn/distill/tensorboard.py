"""The metrics of a training for TensorBoard, an extra: `pip install 'kdsnn[tensorboard]'`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kdsnn.distill.trainer import Epoch
from kdsnn.files.writing import writing

__all__ = ["epoch_log"]

FOLDER = "tensorboard"


@contextmanager
def epoch_log(folder: Path, *, wanted: bool) -> Iterator[Callable[[Epoch], None] | None]:
    """A function that writes an epoch into `tensorboard/` in the folder; None where it is not wanted."""
    if not wanted:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    writers: list[SummaryWriter] = []

    def log(epoch: Epoch) -> None:
        if not writers:
            with writing(folder / FOLDER):
                writers.append(SummaryWriter(str(folder / FOLDER), purge_step=epoch.epoch))
        for name in ("loss", "accuracy", "validation", "lr", "seconds"):
            value = asdict(epoch)[name]
            if value is not None:
                with writing(folder / FOLDER):
                    writers[0].add_scalar(name, value, epoch.epoch)

    try:
        yield log
    finally:
        for writer in writers:
            writer.close()
