"""Seconds and memory to bring a whole student from torch to its integer NIR file.

    uv run python benchmarks/lowering.py [--student resnet18] [--width 1.0]

Random weights, images of 3x32x32: neither the time nor the memory depends on what was learnt.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.nir import read_nir, write_nir
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.operations import count_parameters
from kdsnn.models.students import build_student
from kdsnn.recipes.schema import StudentSection


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--width", type=float, default=1.0)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    student = build_student(StudentSection(model=arguments.student, width=arguments.width), (3, 32, 32), 10).eval()
    images = np.random.default_rng(0).integers(0, 256, (128, 3, 32, 32)).astype(np.uint8)
    print(f"{arguments.student}: {count_parameters(student):,} parameters; before: {peak_gib():.2f} GiB")
    began = start = time.perf_counter()
    labels = [str(i) for i in range(10)]
    network = balance(lower(student.layers, input_shape=(3, 32, 32), timesteps=4, labels=labels))
    print(f"lowered and balanced   {time.perf_counter() - start:6.1f} s")
    start = time.perf_counter()
    integer, _ = quantize(network, calibration=images)
    print(f"quantized to int8      {time.perf_counter() - start:6.1f} s")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_nir(integer, Path(folder) / "model.nir")
        assert read_nir(Path(folder) / "model.nir").fingerprint() == integer.fingerprint()  # noqa: S101
    print(f"written and read twice {time.perf_counter() - start:6.1f} s")
    print(f"in all {time.perf_counter() - began:.1f} s, {len(integer.populations)} populations, {peak_gib():.2f} GiB")


if __name__ == "__main__":
    main()
