"""A whole student of the paper, T = 4, through real Lava: seconds an image, memory, the same spikes; and its peers.

    uv run python benchmarks/deep_on_lava.py [--student resnet18] [--samples 4] [--batch 64] [--stock]

The weights are random, with gains that keep every layer awake: what counts here is the size.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from peer_models import awake

from kdsnn.evaluation import check_same
from kdsnn.export.lowering.lower import lower
from kdsnn.export.lowering.relays import balance
from kdsnn.export.quantization.quantize import quantize
from kdsnn.models.students import build_student
from kdsnn.recipes.schema import StudentSection
from kdsnn.targets.base import Target
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.onnx import OnnxTarget
from kdsnn.targets.reference import ReferenceTarget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="resnet18")
    parser.add_argument("--samples", type=int, default=4, help="images through Lava")
    parser.add_argument("--batch", type=int, default=64, help="images through torch and ONNX Runtime")
    parser.add_argument("--stock", action="store_true", help="one image through Lava's own models, too")
    arguments = parser.parse_args()
    setup_environment()
    torch.manual_seed(0)
    shape = (1, 28, 28) if arguments.student == "2conv" else (3, 32, 32)
    student = awake(build_student(StudentSection(model=arguments.student), shape, 10), shape)
    many = np.random.default_rng(0).integers(0, 256, (arguments.batch, *shape)).astype(np.uint8)
    images = many[: arguments.samples]
    network = balance(lower(student.layers, input_shape=shape, timesteps=4, labels=[str(i) for i in range(10)]))
    integer, _ = quantize(network, calibration=images)
    wanted = GpuTarget("cpu").compile(integer).run(images, record="all")
    silent = [layer.name for layer in wanted.counts.layers if not layer.spikes]
    began = time.perf_counter()
    result = LavaTarget().compile(integer).run(images, record="all")
    seconds = time.perf_counter() - began
    check_same(result, wanted)
    neurons = sum(p.neurons for p in integer.spiking)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{arguments.student}: {neurons:,} neurons, {wanted.counts.total('synops_dense') / len(images):,.0f} SynOps")
    print(f"silent populations: {', '.join(silent) or 'none'}")
    print(
        f"Lava: {seconds / len(images):.2f} s an image end to end, {result.notes['run_s'] / len(images):.2f} simulating"
    )
    print(
        f"largest process {memory:.2f} GiB; every spike equals the torch target's in {len(integer.spiking)} populations"
    )
    others: dict[str, Target] = {
        "torch target on the CPU": GpuTarget("cpu"),
        "onnx, float32": OnnxTarget(),
        "onnx, int8": OnnxTarget(flavour="int8"),
    }
    for name, target in others.items():
        program = target.compile(integer)
        program.run(many[:2])
        done = program.run(many)
        print(f"{name}: {len(many) / done.wall_s:.1f} images/s")
    if arguments.stock:
        done = LavaTarget(stock=True).compile(integer).run(images[:1], record="all")
        check_same(done, ReferenceTarget().compile(integer).run(images[:1], record="all"))
        print(f"Lava's own models: {done.notes['run_s']:.2f} s for one image, simulating")


if __name__ == "__main__":
    main()
