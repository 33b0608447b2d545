"""Images a second on every target, and on real Lava with Intel's own process models in place of ours.

    uv run python benchmarks/throughput.py RUN [--samples 100] [--stock-samples 20]

All in one process, in turn, on the same network and images; every result is compared with the reference.
"""

from __future__ import annotations

import argparse

from kdsnn.evaluation import check_same
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.targets.base import Program
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.onnx import OnnxTarget
from kdsnn.targets.reference import ReferenceTarget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--stock-samples", type=int, default=20)
    arguments = parser.parse_args()
    setup_environment()
    model = load(arguments.run)
    network = model.network
    programs: dict[str, tuple[Program, int]] = {
        "reference (numpy)": (ReferenceTarget().compile(network), arguments.samples),
        "gpu target on the CPU": (GpuTarget("cpu").compile(network), arguments.samples),
        "onnx, float32": (OnnxTarget().compile(network), arguments.samples),
        "onnx, int8": (OnnxTarget(flavour="int8").compile(network), arguments.samples),
        "lava, our process models": (LavaTarget().compile(network), arguments.samples),
        "lava, stock models": (LavaTarget(stock=True).compile(network), arguments.stock_samples),
    }
    print(f"{'target':<28}{'images':>8}{'images/s':>12}{'of it simulating':>20}")
    rates = {}
    for name, (program, samples) in programs.items():
        images = select_images(model, samples=samples).images
        program.run(images[:2], record="all")  # builds what is built once
        result = program.run(images, record="all")
        check_same(result, ReferenceTarget().compile(network).run(images, record="all"))
        inside = result.notes.get("run_s", result.wall_s)
        rates[name] = samples / inside
        print(f"{name:<28}{samples:>8}{samples / result.wall_s:>12.1f}{samples / inside:>20.1f}")
    ratio = rates["lava, our process models"] / rates["lava, stock models"]
    print(f"our process models over the stock ones: {ratio:.1f}x (simulation alone)")


if __name__ == "__main__":
    main()
