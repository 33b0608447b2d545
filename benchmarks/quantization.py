"""What quantization costs: accuracy of the integer networks of some runs, on the whole test split, against the float.

    uv run python benchmarks/quantization.py RUN... [--epochs8 1] [--epochs4 2] [--epochs3 4] [--row "int4 PTQ, spikes"]

Runs of one recipe that differ in their seed. Nothing is chosen by the test split: epochs and learning rate are the
arguments' and the recipe's. The last integer network of each run stays in it. "more training" is the float network that
learns on for as many epochs as int3 has, in the same way from the same weights: what fine-tuning gains beside it is not
just more training.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
import torch

from kdsnn.distill.losses.loss import loss_of
from kdsnn.distill.qat.training import finetune, folded
from kdsnn.distill.student import load_student
from kdsnn.distill.teacher import load_teacher
from kdsnn.evaluation.on_targets import chunks
from kdsnn.run_folders import find_run
from kdsnn.steps.post_training import section_with
from kdsnn.steps.quantize_run import fine_tuning_of, lowered_student, quantize_run

ROWS = {  # weight bits, method, whether it is fine-tuned
    "int8 PTQ, max": (8, "max", False),
    "int8 PTQ, spikes": (8, "spikes", False),
    "int4 PTQ, mse": (4, "mse", False),
    "int4 PTQ, spikes": (4, "spikes", False),
    "int3 PTQ, spikes": (3, "spikes", False),
    "int8 QAT": (8, "spikes", True),
    "int4 QAT": (4, "spikes", True),
    "int3 QAT": (3, "spikes", True),
}
MORE_TRAINING = "float, more training"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--row", choices=(*ROWS, MORE_TRAINING), action="append", help="these rows alone")
    parser.add_argument("--epochs8", type=int, default=1)
    parser.add_argument("--epochs4", type=int, default=2)
    parser.add_argument("--epochs3", type=int, default=4)
    arguments = parser.parse_args()
    epochs = {8: arguments.epochs8, 4: arguments.epochs4, 3: arguments.epochs3}
    losses: dict[str, list[float]] = {}
    for name in arguments.row or (*ROWS, MORE_TRAINING):
        for run in arguments.runs:
            began = time.perf_counter()
            if name == MORE_TRAINING:
                row = continued(run, epochs[3])
            else:
                bits, method, tuned = ROWS[name]
                row = quantized(run, bits, method, epochs[bits] if tuned else 0)
            losses.setdefault(name, []).append(100 * (row["float_accuracy"] - row["accuracy"]))
            print(
                json.dumps({"row": name, "run": run, **row, "seconds": round(time.perf_counter() - began, 1)}),
                flush=True,
            )
    for name, lost in losses.items():
        print(f"{name:<20}{mean(lost):>8.2f} points lost, mean of {len(lost)}: {', '.join(f'{x:.2f}' for x in lost)}")


def quantized(run: str, bits: int, method: str, epochs: int) -> dict[str, float]:
    """The integer network of a run, and what it is measured by."""
    done = quantize_run(run, weight_bits=bits, method=method, qat_epochs=epochs, max_disagreement=1)
    known = done.as_json()
    agreeing = 1 - done.agreement.disagreement
    return {"float_accuracy": known["float_accuracy"], "accuracy": known["integer_accuracy"], "agreement": agreeing}


def continued(run: str, epochs: int) -> dict[str, float]:
    """The float network of a run that learns on as fine-tuning does, without the rounding."""
    folder = find_run(run)
    prepared, student = load_student(folder)
    section = section_with(prepared.recipe.quantize, weight_bits=None, input_bits=None, method=None, qat_epochs=epochs)
    settings = replace(fine_tuning_of(prepared, student, section, folder), rounded=False)
    net = folded(lowered_student(folder, prepared, student), settings, prepared.split)
    teacher = load_teacher(folder, prepared) if loss_of(settings.distill).needs_teacher else None
    test, right = prepared.dataset.test, []
    with TemporaryDirectory() as metrics:
        finetune(net, settings, prepared.split, Path(metrics), teacher=teacher, held_out=prepared.held_out)
    with torch.inference_mode():
        for begin, images in chunks(test.images, 250):
            shown = torch.tensor(prepared.dataset.shown(images, net.network.timesteps))
            right.append(net.rates(shown, ()).argmax(dim=1).numpy() == test.labels[begin : begin + len(images)])
    known = json.loads((folder / "student.json").read_text())["accuracy"]
    return {"float_accuracy": known, "accuracy": float(np.concatenate(right).mean())}


if __name__ == "__main__":
    main()
