"""Several processes on one training (`accelerate launch`): one of them writes, and the others wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import PartialState

from kdsnn.run_folders import lock

__all__ = ["one_writer", "processes", "shard"]


def processes(device: str | None = None) -> PartialState:
    """This process among the others: `is_main_process`, `num_processes`, `wait_for_everyone()`."""
    return PartialState(cpu=device == "cpu")


@contextmanager
def one_writer(folder: Path, device: str | None = None) -> Iterator[PartialState]:
    """Locks a folder for all processes together: the main one holds the lock; all begin and end together.

    Raises:
        InputError: another training holds it.
    """
    state = processes(device)
    with lock(folder) if state.is_main_process else nullcontext():
        state.wait_for_everyone()
        yield state
        state.wait_for_everyone()


def shard(index: torch.Tensor, number: int, count: int) -> torch.Tensor:
    """The part of a batch's positions that is a process's own; all are equally long, so that a mean of means is a mean.

    Where the batch cannot be divided, its first ones are taken twice.
    """
    missing = -len(index) % count
    return torch.cat([index, index.repeat(1 + missing // len(index))[:missing]])[number::count]
