"""The page of measurements beside other simulators, from what `benchmarks/peers.py --json` wrote."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parents[1] / "benchmarks" / "peers.json"
HOW = """
`benchmarks/peers.py` measures the same layers, weights and images in one process, in turn, so that what else the
machine does falls on all alike:
"""
WHERE = """
{date}, {cpu}, {threads} of torch and of ONNX Runtime, {device}; {versions}; {repeats} rounds, T = {timesteps}. A cell
holds the median, and the quartiles behind it. A ratio is theirs over ours of one round: above 1, ours is faster. CPU
time counts this process alone, and says more than the clock where a machine is shared.
"""
TRAINING = """
Forward and backward of a batch of {batch}, atan surrogate, no optimizer. `kdsnn` is the student as `kdsnn distill`
trains it. What stands before the repeat in time is computed once by all. spikingjelly runs in multi-step mode, its
reset detached as ours is; snnTorch runs its own loop over the steps, so that its BatchNorm sees one step at a time;
sinabs takes time behind the batch.
"""
INFERENCE = """
{images} images. Our torch target and our ONNX files run the integer network, exactly, and the torch target counts every
spike besides; the simulators and `kdsnn, float student` run the float student that it was made of. ResNet18 is the
paper's teacher.
"""


def peers_page() -> str:
    """The page."""
    figures = json.loads(FIGURES.read_text())
    shown = {
        **figures,
        "threads": f"{figures['threads']} thread{'s' if figures['threads'] > 1 else ''}",
        "device": "no GPU" if figures["device"] == "cpu" else figures["device"],
        "versions": ", ".join(f"{name} {version}" for name, version in figures["versions"].items()),
    }

    def paragraph(text: str) -> str:
        return textwrap.fill(" ".join(text.format(**shown).split()), 120, break_on_hyphens=False) + "\n"

    quick = "\n**Figures of narrow students, from `--quick`: they say nothing.**\n" if figures["quick"] else ""
    parts = [
        "# Beside other simulators\n",
        paragraph(HOW),
        f"```sh\n{figures['command']}\n```\n",
        paragraph(WHERE) + quick,
    ]
    for heading, text, kind in (("A training step", TRAINING, "training"), ("Inference", INFERENCE, "inference")):
        parts += [f"## {heading}\n", paragraph(text)]
        parts += [_table(name, measured) for name, measured in figures[kind].items()]
    return "\n".join(parts)


def _table(student: str, measured: dict[str, Any]) -> str:
    with_joules = "joules" in measured["rows"][measured["of"]]
    lines = [
        f"| {student} | ms | its time over that of {measured['of']} | the same in CPU time |" + " J |" * with_joules,
        "|---|---|---|---|" + "---|" * with_joules,
    ]
    for name, row in measured["rows"].items():
        low, middle, high = (f"{1000 * seconds:,.1f}" for seconds in row["wall_s"])
        ratios = ["" if name == measured["of"] else _ratio(row[key]) for key in ("ratio", "cpu_ratio")]
        joules = [f"{row['joules']:.3g}"] if with_joules else []
        lines.append(f"| {name} | {middle} ({low} to {high}) | {' | '.join([*ratios, *joules])} |")
    return "\n".join(lines) + "\n"


def _ratio(values: list[float]) -> str:
    low, middle, high = values
    return f"{middle:.2f}x ({low:.2f} to {high:.2f})"
