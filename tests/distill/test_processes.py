"""Real processes: several on one training, and one that is killed at a random moment and resumed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdsnn.distill.checkpoint import load_tensors
from kdsnn.distill.processes import one_writer, shard
from kdsnn.distill.student import distill
from kdsnn.distill.trainer import CHECKPOINT
from kdsnn.errors import InputError
from kdsnn.recipes.load import load_recipe
from kdsnn.run_folders import lock

ALL = ["distill.kind=both", "train.ema_decay=0.9", "data.validation_samples=100"]
SMALL = ["data.train_samples=400", "teacher.epochs=1", "teacher.width=0.125", "data.augment=affine"]


@given(st.integers(1, 40), st.integers(1, 8))
def test_shards_are_equally_long_and_hold_everything(length: int, count: int) -> None:
    index = torch.arange(100, 100 + length)
    shards = [shard(index, number, count) for number in range(count)]
    assert {len(s) for s in shards} == {-(-length // count)}
    assert set(torch.cat(shards).tolist()) == set(index.tolist())
    if length % count == 0:
        assert sorted(torch.cat(shards).tolist()) == index.tolist()


def test_one_process_alone_takes_the_lock(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(InputError, match="another process is working on"), one_writer(tmp_path, "cpu"):
        pass


@pytest.fixture(autouse=True)
def _one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the other processes: how sums are split between threads shows in their last bits."""
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def command(run: Path, changes: list[str]) -> list[str]:
    sets = [part for change in changes for part in ("--set", change)]
    return ["kdsnn", "distill", "digits-2conv", "--run", str(run), *sets]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors(run / "student.safetensors")


def test_killed_at_a_random_moment_and_resumed(tmp_path: Path) -> None:
    changes = [*SMALL, *ALL, "train.epochs=8"]
    recipe, cut = load_recipe("digits-2conv", changes), tmp_path / "cut"
    whole = weights(distill(recipe, run=tmp_path / "whole", device="cpu"))
    made = [sys.executable, "-m", *command(cut, changes)]
    process = subprocess.Popen(made, env=environment(), stderr=subprocess.DEVNULL)
    while not (cut / CHECKPOINT).exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))  # noqa: S311
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    done = len((cut / "metrics.jsonl").read_text().splitlines())
    assert not (cut / "student.json").exists()
    resumed = weights(distill(recipe, run=cut, resume=True, device="cpu"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole), f"killed after {done} epochs"


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Batch norms see half of each batch, so weights differ a little; images, labels and steps are the same."""
    changes = [*SMALL, *ALL, "train.epochs=3", "train.batch_size=60"]
    alone = distill(load_recipe("digits-2conv", changes), run=tmp_path / "alone", device="cpu")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1"]
    launcher += ["--num_processes", "2", "--num_cpu_threads_per_process", "1", "--main_process_port", "0"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m"]
    two = tmp_path / "two"
    made = [*launcher, *command(two, changes)]
    done = subprocess.run(made, env=environment(), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("student accuracy") == 1
    metrics = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (alone, two)]
    for ours, theirs in zip(*metrics, strict=True):
        assert ours["lr"] == theirs["lr"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.1)
    assert {k: v.shape for k, v in weights(alone).items()} == {k: v.shape for k, v in weights(two).items()}
    assert not (two / CHECKPOINT).exists()
