"""The steps of `on_gpu.py`, one in a process: python on_gpu_steps.py STEP SETTING. A result is a line of JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from peer_models import SHAPES, importable
from peers import integer_of, make_student, measured, trainings

from kdsnn.distill.student import distill
from kdsnn.distill.teacher import teach
from kdsnn.energy.measured import measure
from kdsnn.energy.meters import NvmlMeter, RaplMeter
from kdsnn.evaluation import check_same
from kdsnn.models.teachers import build_teacher
from kdsnn.recipes.load import load_recipe
from kdsnn.recipes.paper_rows import SETTINGS
from kdsnn.recipes.schema import Recipe, TeacherSection
from kdsnn.run_folders import runs_root
from kdsnn.targets.base import Program
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.reference import ReferenceTarget
from kdsnn.testing import check_target, example_networks

STUDENTS = ("vgg11", "wrn16-2", "resnet18")
KINDS = ("none", "response")
Setting = Mapping[str, Any]


def say(**row: object) -> None:
    """A result."""
    print(json.dumps(row), flush=True)


def conformance(setting: Setting) -> None:
    """The target's suite."""
    networks = example_networks()[:2] if setting["tiny"] else None
    found = check_target(GpuTarget(setting["device"]), networks)
    say(passed=len(found.passed), refused=found.refused, unproven=sorted(found.unproven))


def throughput(setting: Setting) -> None:
    """Images a second of integer networks by batch, all counters running; equal to the reference on a few images."""
    tiny, device = setting["tiny"], setting["device"]
    for name, width in _sizes(setting):
        images = _images(name, 64)
        integer = integer_of(make_student(name, width=width), name, images)
        program = GpuTarget(device).compile(integer)
        few = images[:4]
        check_same(program.run(few, record="all"), ReferenceTarget().compile(integer).run(few, record="all"))
        for batch in (4, 8) if tiny else (64, 256, 1024, 4096, 16384):
            program.batch = batch
            many = np.tile(images, (2 * batch // len(images) + 1, 1, 1, 1))[: 2 * batch]
            try:
                program.run(many[:batch])
                wall_s = min(program.run(many).wall_s for _ in range(3))
            except Exception as error:  # noqa: BLE001  a batch that is too large for the card is a result
                say(student=name, width=width, batch=batch, error=str(error))
                break
            say(student=name, width=width, batch=batch, images_per_s=round(len(many) / wall_s, 1), spikes="equal")


def peers(setting: Setting) -> None:
    """A training step beside other simulators, as far as they can be imported here."""
    tiny, device = setting["tiny"], setting["device"]
    names = importable()
    say(beside=names)
    for name, width in _sizes(setting):
        student = make_student(name, width=width)
        options = argparse.Namespace(batch=4 if tiny else 64, device=device)
        done = measured(trainings(student, name, options, names), 2 if tiny else 11, f"{name}, training step")
        say(student=name, width=width, batch=options.batch, training=done)


def joules(setting: Setting) -> None:
    """Joules of an image: integer students, and the float teacher."""
    tiny, device = setting["tiny"], setting["device"]
    meter = NvmlMeter(device) if device.startswith("cuda") else RaplMeter()
    window_s, rounds = (0.1, 2) if tiny else (2.0, 3)
    for name, width in _sizes(setting):
        images = _images(name, 8 if tiny else 1024)
        program = GpuTarget(device).compile(integer_of(make_student(name, width=width), name, images[:32]))
        found = measure(partial(_answered, program, images), meter, window_s=window_s, rounds=rounds)
        say(network=name, width=width, **found.as_json())
    images = _images("vgg11", 8 if tiny else 256)
    teacher = build_teacher(TeacherSection(model="resnet18", width=0.125 if tiny else 1.0), images.shape[1:], 10)
    x, teacher = torch.from_numpy(images).to(device).float() / 255, teacher.to(device).eval()

    def answer() -> int:
        with torch.inference_mode():
            return len(teacher(x).argmax(dim=1).cpu())

    say(network="teacher resnet18, float32", **measure(answer, meter, window_s=window_s, rounds=rounds).as_json())


def _answered(program: Program, images: np.ndarray) -> int:
    return len(program.run(images).predictions)


def teacher(setting: Setting) -> None:
    """The teacher, on all training images."""
    begun = time.perf_counter()
    folder = teach(_recipe("vgg11", "none", setting), device=_place(setting))
    result = json.loads((folder / "result.json").read_text())
    say(teacher=result["model"], accuracy=result["accuracy"], seconds=round(time.perf_counter() - begun, 1))


def students(setting: Setting) -> None:
    """Students alone and taught, each a process of its own, all on the one card beside each other."""
    rows = [(name, kind) for name in STUDENTS for kind in KINDS]
    if setting["tiny"]:
        rows = rows[:2]
    children = [
        subprocess.Popen([sys.executable, __file__, "row", json.dumps({**setting, "student": name, "kind": kind})])
        for name, kind in rows
    ]
    failed = [row for row, child in zip(rows, children, strict=True) if child.wait() != 0]
    if failed:
        sys.exit(f"these failed: {failed}")


def row(setting: Setting) -> None:
    """One student."""
    name, kind = setting["student"], setting["kind"]
    begun = time.perf_counter()
    recipe = _recipe(name, kind, setting)
    run = distill(recipe, run=runs_root() / f"{name}-{kind}", device=_place(setting), resume=True)
    result = json.loads((run / "student.json").read_text())
    say(
        student=name,
        distill=recipe.distill.kind,
        accuracy=result["accuracy"],
        seconds=round(time.perf_counter() - begun, 1),
    )


def _recipe(name: str, kind: str, setting: Setting) -> Recipe:
    """A recipe of the paper's rows, with their settings: ResNet18 teaches; small and short in a rehearsal."""
    epochs, width, precision = (1, 0.125, "fp32") if setting["tiny"] else (8, 1.0, "bf16")
    small = ["data.train_samples=64"] if setting["tiny"] else []
    trained = {"epochs": epochs, "batch_size": 32 if setting["tiny"] else 256, "precision": precision}
    return load_recipe(
        "cifar10-vgg11-from-resnet18",
        [
            f"data.dataset={setting['dataset']}",
            "data.augment=none",
            *small,
            f"teacher.width={width}",
            "student.model=" + name,
            f"student.width={width}",
            f"distill.kind={kind}",
            *SETTINGS[kind],
            *(f"{section}.{key}={value}" for section in ("teacher", "train") for key, value in trained.items()),
        ],
    )


def _sizes(setting: Setting) -> list[tuple[str, float]]:
    """Students and their widths: the demo's is 2conv, narrow."""
    return [("2conv", 0.125), ("vgg11", 0.125 if setting["tiny"] else 1.0)]


def _images(name: str, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPES[name])).astype(np.uint8)


def _place(setting: Setting) -> str | None:
    """As the trainings take it: `cpu`, or what accelerate finds."""
    return "cpu" if setting["device"] == "cpu" else None


STEPS: Mapping[str, Callable[[Setting], None]] = {
    step.__name__: step for step in (conformance, throughput, peers, joules, teacher, students, row)
}

if __name__ == "__main__":
    STEPS[sys.argv[1]](json.loads(sys.argv[2]))
