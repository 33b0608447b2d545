"""Real processes: several on one training or one run, and one that is killed at random moments and resumed."""

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
from kdsnn.errors import InputError, LockedError
from kdsnn.recipes.load import load_recipe
from kdsnn.run_folders import RECIPE, lock
from kdsnn.steps.quantize_run import quantize_run

ALL = ["distill.kind=both", "train.ema_decay=0.9", "data.validation_samples=100"]
SEED = 15
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


def epochs_done(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.long)])
def test_killed_at_random_moments_and_resumed(tmp_path: Path, kills: int) -> None:
    """Two of three times in the epochs after the next one, else before: while it starts, or goes on."""
    chance = random.Random(SEED)  # noqa: S311
    changes = [*SMALL, *ALL, f"train.epochs={5 * kills}"]
    recipe, cut = load_recipe("digits-2conv", changes), tmp_path / "cut"
    whole = weights(distill(recipe, run=tmp_path / "whole", device="cpu"))
    made, moments = [sys.executable, "-m", *command(cut, changes)], list[int]()
    for kill in range(kills):
        resumed = ["--resume"] if (cut / RECIPE).exists() else []
        with subprocess.Popen([*made, *resumed], env=environment(), stderr=subprocess.PIPE) as process:
            before = epochs_done(cut)
            while kill % 3 != 2 and epochs_done(cut) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3 if kill % 3 != 2 else 6.0))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, process.communicate()[1]
        moments.append(epochs_done(cut))
    assert not (cut / "student.json").exists()
    done = subprocess.run([*made, "--resume"], env=environment(), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = weights(cut)
    print(f"killed {kills} times, after {moments} of {5 * kills} epochs, seed {SEED}")  # noqa: T201
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole), f"killed after {moments} epochs"


def test_a_second_process_on_a_run_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    changes = [*SMALL, "train.epochs=4", "distill.kind=none"]
    run, whole = tmp_path / "run", tmp_path / "whole"
    recipe = load_recipe("digits-2conv", changes)
    distill(recipe, run=whole, device="cpu")
    made = [sys.executable, "-m", *command(run, changes)]
    with subprocess.Popen(made, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as first:
        while not (run / CHECKPOINT).exists() and first.poll() is None:
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # it is at work as long as this needs
        try:
            refused = subprocess.run(made, env=environment(), check=False, capture_output=True, text=True)
            assert refused.returncode == LockedError("").exit_code, refused.stderr
            assert f"another process is working on {run}" in refused.stderr
            assert "wait for it, or take another run" in refused.stderr
            assert "Traceback" not in refused.stderr
            for second in (lambda: distill(recipe, run=run, resume=True), lambda: quantize_run(str(run))):
                with pytest.raises(LockedError, match=f"another process is working on {run}"):
                    second()
        finally:
            first.send_signal(signal.SIGCONT)
        assert first.wait() == 0, first.communicate()[1]
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(whole).items())


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
