"""What quantization costs: accuracy of the integer networks of some runs, on the whole test split, against the float.

    uv run python benchmarks/quantization.py RUN... [--bits8-epochs 1] [--bits4-epochs 2] [--row "int4 PTQ, spikes"]

Runs of one recipe that differ in their seed. Nothing is chosen by the test split: epochs and learning rate are the
arguments' and the recipe's. The last integer network of each run stays in it.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import mean

from kdsnn.steps.quantize_run import quantize_run

ROWS = {  # weight bits, method, whether it is fine-tuned
    "int8 PTQ, max": (8, "max", False),
    "int8 PTQ, spikes": (8, "spikes", False),
    "int4 PTQ, mse": (4, "mse", False),
    "int4 PTQ, spikes": (4, "spikes", False),
    "int8 QAT": (8, "spikes", True),
    "int4 QAT": (4, "spikes", True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--row", choices=ROWS, help="this row alone")
    parser.add_argument("--bits8-epochs", type=int, default=1)
    parser.add_argument("--bits4-epochs", type=int, default=2)
    arguments = parser.parse_args()
    epochs = {8: arguments.bits8_epochs, 4: arguments.bits4_epochs}
    losses: dict[str, list[float]] = {}
    for name, (bits, method, tuned) in ROWS.items():
        for run in arguments.runs if arguments.row in (None, name) else ():
            began, rounds = time.perf_counter(), epochs[bits] if tuned else 0
            done = quantize_run(run, weight_bits=bits, method=method, qat_epochs=rounds, max_disagreement=1)
            row = {"row": name, "run": run, **{k: done.as_json()[k] for k in ("float_accuracy", "integer_accuracy")}}
            row["agreement"] = 1 - done.agreement.disagreement
            losses.setdefault(name, []).append(100 * (row["float_accuracy"] - row["integer_accuracy"]))
            print(json.dumps(row | {"seconds": round(time.perf_counter() - began, 1)}), flush=True)
    for name, lost in losses.items():
        print(f"{name:<16}{mean(lost):>8.2f} points lost, mean of {len(lost)}: {', '.join(f'{x:.2f}' for x in lost)}")


if __name__ == "__main__":
    main()
