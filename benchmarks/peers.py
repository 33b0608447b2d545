"""Training and inference beside other people's simulators, in one process, in turn; medians, quartiles and ratios.

    uv run --group peers python benchmarks/peers.py [--json benchmarks/peers.json] [--quick] [--threads 1]

Training is forward and backward of a batch, without an optimizer. Inference is float in the simulators, and in ours
the integer network with all its counters; ONNX Runtime runs our files and the float teacher's. Weights are random, with
gains that keep every layer awake. A ratio is another's time over ours in the same round: above 1, ours is faster.
With `--device cuda`, spikingjelly takes its own kernels, and joules are those of NVML's counter.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from joules import Counter, counter_of, joules_of
from peer_models import PEERS, SHAPES, SLOPE, awake, make_peers

from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.students import Student, build_student
from kdsnn.models.teachers import build_teacher
from kdsnn.network import Network
from kdsnn.recipes.schema import StudentSection, TeacherSection
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.gpu.exact_products import int8_is_exact

TIMESTEPS, CLASSES = 4, 10
LABELS = tuple(str(i) for i in range(CLASSES))
PACKAGES = ("torch", "spikingjelly", "snntorch", "sinabs", "onnxruntime", "numpy")
FLAVOURS: tuple[Literal["int8", "float32"], ...] = ("int8", "float32")
Runs = Mapping[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--quick", action="store_true", help="narrow students and few repeats: to see that it runs")
    parser.add_argument("--threads", type=int, default=1, help="of torch and of ONNX Runtime")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--batch", type=int, default=16, help="images of a training step")
    parser.add_argument("--images", type=int, default=32, help="of an inference")
    parser.add_argument("--device", default="cpu", help="of torch: cpu or cuda")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.batch, options.images = 3, 4, 8
    torch.set_num_threads(options.threads)
    training, inference = {}, {}
    counter = counter_of(options.device)
    for name in SHAPES:
        student = make_student(name, width=0.125 if options.quick else 1.0)
        runs = trainings(student, name, options)
        training[name] = measured(runs, options.repeats, f"{name}, training step", counter)
        runs = inferences(student, name, options)
        inference[name] = measured(runs, options.repeats, f"{name}, inference", counter)
    if options.json:
        options.json.write_text(json.dumps(record(options, training, inference), indent=1) + "\n")


def make_student(name: str, *, width: float) -> Student:
    """A student with random weights, awake."""
    torch.manual_seed(0)
    section = StudentSection(model=name, width=width, timesteps=TIMESTEPS, surrogate="atan", slope=SLOPE)
    student = build_student(section, SHAPES[name], CLASSES)
    awake(student, SHAPES[name])
    return student


def trainings(student: Student, name: str, options: argparse.Namespace, peers: Iterable[str] = tuple(PEERS)) -> Runs:
    """Forward and backward of one batch, by each; spikingjelly in both layouts of images."""
    torch.manual_seed(1)
    images = torch.rand(options.batch, *SHAPES[name], device=options.device)
    labels = torch.randint(CLASSES, (options.batch,), device=options.device)

    def step(net: torch.nn.Module) -> Callable[[], object]:
        net.to(options.device).train()

        def run() -> None:
            net.zero_grad(set_to_none=True)
            torch.autograd.backward(F.cross_entropy(net(images).mean(dim=0), labels))
            _wait(options.device)

        return run

    nets = make_peers(student, peers)
    if "spikingjelly" in nets:
        other = copy.deepcopy(nets["spikingjelly"]).to(memory_format=torch.channels_last)
        nets["spikingjelly, channels last"] = other
    return {peer: step(net) for peer, net in nets.items()}


def inferences(student: Student, name: str, options: argparse.Namespace) -> Runs:
    """Classes of the same images, by each: ours first."""
    from kdsnn.export.onnx.models import to_onnx
    from kdsnn.export.teacher_onnx import teacher_onnx

    shape = SHAPES[name]
    images = np.random.default_rng(0).integers(0, 256, (options.images, *shape)).astype(np.uint8)
    integer = integer_of(student, name, images)
    width = 0.125 if options.quick else 1.0
    teacher = build_teacher(TeacherSection(model="resnet18", width=width), shape, CLASSES).eval()
    on_cpu = options.device == "cpu"
    flavours = FLAVOURS if on_cpu and int8_is_exact() else ("float32",)
    runs: dict[str, Callable[[], object]] = {}
    for flavour in flavours:
        program = GpuTarget(options.device, arithmetic=flavour).compile(integer)
        runs[f"kdsnn torch target, {flavour}"] = partial(program.run, images)
    for flavour in FLAVOURS:
        model = to_onnx(integer, flavour=flavour).SerializeToString()
        runs[f"ONNX Runtime, our model.onnx, {flavour}"] = _session(model, images, options.threads)
    runs["ONNX Runtime, float teacher (ResNet18)"] = _session(
        teacher_onnx(teacher, shape, LABELS), images, options.threads
    )
    for peer, net in make_peers(student).items():
        runs[f"{peer}, float student"] = _float(net.to(options.device).eval(), images, options.device)
    return runs


def integer_of(student: Student, name: str, images: np.ndarray) -> Network:
    """The integer network of a student, calibrated on the images; the student is on the CPU then, in eval mode."""
    student.cpu().eval()
    labels = list(LABELS)
    network = balance(lower(student.layers, input_shape=SHAPES[name], timesteps=TIMESTEPS, labels=labels))
    return quantize(network, calibration=images)[0]


def measured(runs: Runs, repeats: int, title: str, counter: Counter | None = None) -> dict[str, Any]:
    """Seconds of every run: each once unmeasured, then in turn; who begins changes from round to round.

    With a counter of joules, those of a run besides, measured afterwards.
    """
    names = list(runs)
    rounds: list[dict[str, tuple[float, float]]] = []
    for run in runs.values():
        run()
    for number in range(repeats):
        shift = number % len(names)
        rounds.append({name: _timed(runs[name]) for name in (*names[shift:], *names[:shift])})
    ours = names[0]
    rows: dict[str, dict[str, Any]] = {
        name: _row([r[name] for r in rounds], [r[ours] for r in rounds]) for name in names
    }
    print(f"\n{title}: seconds, median (quartiles); time over that of {ours!r} in the same round")
    for name, row in rows.items():
        wall, ratio, cpu = row["wall_s"], row["ratio"], row["cpu_ratio"]
        print(
            f"  {name:<42}{wall[1]:8.4f} ({wall[0]:.4f} to {wall[2]:.4f}){ratio[1]:8.2f}x ({ratio[0]:.2f} to "
            f"{ratio[2]:.2f}){cpu[1]:8.2f}x of CPU time"
        )
        if counter is not None:
            row["joules"] = float(f"{joules_of(runs[name], counter):.4g}")
            print(f"  {'':<42}{row['joules']:8.4g} J")
    return {"of": ours, "rows": rows}


def record(options: argparse.Namespace, training: Any, inference: Any) -> dict[str, Any]:
    """What `--json` writes."""
    given = {"--repeats": options.repeats, "--batch": options.batch, "--images": options.images}
    words = ["--quick"] if options.quick else [f"{flag} {value}" for flag, value in given.items()]
    command = ["uv run --group peers python benchmarks/peers.py --json benchmarks/peers.json", *words]
    return {
        "schema": "kdsnn.peers/1",
        "command": " ".join([*command, f"--threads {options.threads}", f"--device {options.device}"]),
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu",
        "threads": options.threads,
        "repeats": options.repeats,
        "batch": options.batch,
        "images": options.images,
        "timesteps": TIMESTEPS,
        "quick": options.quick,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "training": training,
        "inference": inference,
    }


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _row(times: list[tuple[float, float]], ours: list[tuple[float, float]]) -> dict[str, list[float]]:
    """Lower quartile, median and upper quartile of times and of ratios."""
    wall, cpu = zip(*times, strict=True)
    pairs = list(zip(times, ours, strict=True))
    return {
        "wall_s": _spread(wall),
        "cpu_s": _spread(cpu),
        "ratio": _spread([theirs[0] / mine[0] for theirs, mine in pairs]),
        "cpu_ratio": _spread([theirs[1] / mine[1] for theirs, mine in pairs]),
    }


def _spread(values: Any) -> list[float]:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return [float(f"{value:.4g}") for value in (low, median(values), high)]


def _session(model: bytes, images: np.ndarray, threads: int) -> Callable[[], object]:
    from kdsnn.export.onnx_runtime import onnx_runtime

    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": images})


def _float(net: torch.nn.Module, images: np.ndarray, device: str) -> Callable[[], object]:
    x = torch.from_numpy(images).float().div(255).to(device)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            spikes: torch.Tensor = net(x)
            return spikes.mean(dim=0).argmax(dim=1).cpu()

    return run


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
