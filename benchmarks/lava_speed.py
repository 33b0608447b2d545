"""Real Lava with our process models beside real Lava with Intel's own, and the torch target: one network, in turn.

    uv run python benchmarks/lava_speed.py [RUN|MODEL.nir] [--rounds 3] [--samples 128] [--stock-samples 4]
                                            [--torch-samples 2048] [--lanes 0]

Without a model it takes the paper's 2conv at full width, with random weights that keep every layer awake (T = 4).
A round runs ours, Intel's, and torch on the CPU; every spike is compared with the reference. Figures are of the
simulation alone. The steps that fill the pipeline are taken off Intel's, for a few images would pay too much
for them, and left in ours. Seconds on the processors (`cpu`), of all Lava's processes together, say more than those on
the clock where others use the machine.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import numpy.typing as npt

from kdsnn.evaluation import check_same
from kdsnn.network import Network
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.targets.base import Program, Record, RunResult, Target
from kdsnn.targets.gpu import GpuTarget
from kdsnn.targets.lava.adapter import LavaTarget
from kdsnn.targets.lava.environment import setup_environment
from kdsnn.targets.reference import ReferenceTarget

Images = npt.NDArray[np.uint8]
OURS, STOCK, TORCH = "ours", "Intel's", "torch"
DISTINCT = 64  # images; more are shown by showing them again


def paper_network() -> tuple[Network, Images]:
    """The paper's 2conv with random weights, quantized, and random images."""
    import torch
    from peer_models import awake

    from kdsnn.export.lowering.lower import lower
    from kdsnn.export.quantization.quantize import quantize
    from kdsnn.models.students import build_student
    from kdsnn.recipes.schema import StudentSection

    torch.manual_seed(0)
    shape = (1, 28, 28)
    student = awake(build_student(StudentSection(model="2conv"), shape, 10), shape)
    images = np.random.default_rng(0).integers(0, 256, (DISTINCT, *shape)).astype(np.uint8)
    network = lower(student.layers, input_shape=shape, timesteps=4, labels=[str(i) for i in range(10)])
    return quantize(network, calibration=images[:8])[0], images


def rate(result: RunResult, seconds: float, *, full: bool) -> float:
    """Images a second, perhaps of a pipeline that is full."""
    notes = result.notes
    share = 1 - notes["fill_steps"] / notes["steps"] if full else 1
    return len(result.predictions) / (seconds * share)


def check_spikes(network: Network, shown: Images, result: RunResult, torch: Program | None) -> None:
    """Compares what was recorded with the reference; of torch every spike, too, of the images before they repeat."""
    if torch is None:
        oracle: Target = ReferenceTarget() if len(shown) <= 8 else GpuTarget("cpu")
        check_same(result, oracle.compile(network).run(shown, record="all"))
        return
    once = shown[:DISTINCT]
    whole = ReferenceTarget().compile(network).run(once, record="all")
    check_same(torch.run(once, record="all"), whole)
    wanted = whole.spikes[network.output.name]
    if not np.array_equal(result.spikes[network.output.name], np.resize(wanted, (len(shown), *wanted.shape[1:]))):
        raise SystemExit("torch put out other spikes in a longer run")


def spread(values: list[float]) -> str:
    return f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a run or a NIR file; the paper's 2conv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=128, help="images through our process models")
    parser.add_argument("--stock-samples", type=int, default=4, help="images through Intel's")
    parser.add_argument("--torch-samples", type=int, default=2048, help="images through the torch target")
    parser.add_argument("--lanes", type=int, default=0, help="images side by side; 0 leaves it to the target")
    arguments = parser.parse_args()
    setup_environment()
    if arguments.model:
        model = load(arguments.model)
        network, images = model.network, select_images(model, samples=DISTINCT).images
    else:
        network, images = paper_network()
    runs: dict[str, tuple[Target, int]] = {
        OURS: (LavaTarget(lanes=arguments.lanes), arguments.samples),
        STOCK: (LavaTarget(stock=True), arguments.stock_samples),
        TORCH: (GpuTarget("cpu"), arguments.torch_samples),
    }
    rates: dict[tuple[str, str], list[float]] = {}
    print(f"{'round':<7}{'models':<9}{'images':>7}{'lanes':>6}{'images/s':>10}{'per cpu s':>11}{'MiB':>7}")
    for turn in range(arguments.rounds):
        for name, (target, samples) in runs.items():
            shown = np.resize(images, (samples, *images.shape[1:]))
            program = target.compile(network)
            record: Record = "output" if name == TORCH else "all"
            if name == TORCH:
                program.run(shown[:DISTINCT])  # allocates what it keeps
            began = time.process_time()
            result = program.run(shown, record=record)
            own = time.process_time() - began
            check_spikes(network, shown, result, program if name == TORCH else None)
            notes = result.notes
            clock = rate(result, notes.get("run_s", result.wall_s), full=name == STOCK)
            cpu = rate(result, notes.get("cpu_s", own), full=name == STOCK)
            rates.setdefault((name, "clock"), []).append(clock)
            rates.setdefault((name, "cpu"), []).append(cpu)
            print(f"{turn:<7}{name:<9}{samples:>7}{notes.get('lanes', 0):>6.0f}{clock:>10.4g}{cpu:>11.4g}", end="")
            print(f"{notes.get('memory_mib', 0):>7.0f}", flush=True)
    print("every spike equals the reference in all runs")
    for seconds, what in (("clock", "images/s"), ("cpu", "images per second on the processors")):
        stock = rates[STOCK, seconds]
        print(f"{what}: Intel's {spread(stock)}")
        for name in (OURS, TORCH):
            ratios = [a / b for a, b in zip(rates[name, seconds], stock, strict=True)]
            print(f"  {name} {spread(rates[name, seconds])}; ratio {spread(ratios)}")


if __name__ == "__main__":
    main()
