"""What distillation gains over the student alone: same student, same seeds, same images, same epochs.

    uv run python benchmarks/gain.py RECIPE --seeds 0 1 2 --alone KEY=VALUE ... --taught KEY=VALUE ... [--json FILE]

Each side is trained by the recipe with its own changes, one run folder a side and seed under KDSNN_RUNS; what is there
is taken as it is, and what was cut off goes on. Accuracies are those of the float students on the whole test split.
McNemar's exact test compares the answers to the same images, pooled over the seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from kdsnn.distill.accuracy import right_answers
from kdsnn.distill.student import distill, load_student
from kdsnn.files.reading import read_json
from kdsnn.recipes.load import load_recipe
from kdsnn.run_folders import runs_root

SIDES = {"alone": ["distill.kind=none"], "taught": []}


@dataclass(frozen=True)
class Gain:
    """Accuracies of both sides, by seed; on how many images, over all seeds, only one of them is right."""

    alone: tuple[float, ...]
    taught: tuple[float, ...]
    only_taught: int
    only_alone: int
    images: int

    @property
    def points(self) -> list[float]:
        """Gain of each seed, in points."""
        return [100 * (b - a) for a, b in zip(self.alone, self.taught, strict=True)]

    @property
    def p(self) -> float:
        """McNemar's exact two-sided p, pooled over the seeds."""
        return float(binomtest(self.only_taught, self.only_taught + self.only_alone).pvalue)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the mean gain in points, for these students: what other test images would change."""
        images = self.images * len(self.alone)
        difference = (self.only_taught - self.only_alone) / images
        variance = (self.only_taught + self.only_alone) / images - difference**2
        half = 1.96 * (variance / images) ** 0.5
        return 100 * (difference - half), 100 * (difference + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for side in SIDES:
        parser.add_argument(f"--{side}", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--both", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe on both sides"
    )
    parser.add_argument("--name", help="of the comparison; names the run folders")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    made = measure(arguments)
    print_gain(made)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(made, arguments), indent=2) + "\n")


def measure(arguments: argparse.Namespace) -> Gain:
    right: dict[str, list[npt.NDArray[np.bool_]]] = {side: [] for side in SIDES}
    for seed in arguments.seeds:
        for side, changes in SIDES.items():
            changed = [f"seed={seed}", *arguments.both, *changes, *getattr(arguments, side)]
            recipe = load_recipe(arguments.recipe, changed)
            run = runs_root() / f"gain-{arguments.name or recipe.name}-{side}-{seed}"
            distill(recipe, run=run, resume=True)
            right[side].append(answers(run))
            teacher = read_json(run / "teacher.json")["accuracy"] if (run / "teacher.json").is_file() else None
            about = "" if teacher is None else f", teacher {teacher:.2%}"
            print(f"seed {seed}, {side}: {right[side][-1].mean():.2%}{about}", flush=True)
    alone, taught = (np.stack(right[side]) for side in SIDES)
    return Gain(
        alone=tuple(alone.mean(axis=1)),
        taught=tuple(taught.mean(axis=1)),
        only_taught=int((taught & ~alone).sum()),
        only_alone=int((alone & ~taught).sum()),
        images=alone.shape[1],
    )


def answers(run: Path) -> npt.NDArray[np.bool_]:
    """Whether the float student of a run is right on each test image."""
    prepared, student = load_student(run)
    return right_answers(student, prepared.dataset.test)


def print_gain(gain: Gain) -> None:
    for side, accuracies in (("alone", gain.alone), ("taught", gain.taught)):
        print(f"{side}: {100 * fmean(accuracies):.2f} % (" + ", ".join(f"{100 * a:.2f}" for a in accuracies) + ")")
    spread = f", standard deviation {stdev(gain.points):.2f}" if len(gain.points) > 1 else ""
    low, high = gain.interval
    print(f"gain: {fmean(gain.points):.2f} points ({', '.join(f'{p:.2f}' for p in gain.points)}{spread})")
    print(f"95 % interval over test images: {low:.2f} to {high:.2f}")
    print(f"McNemar, pooled: {gain.only_taught} against {gain.only_alone}, p = {gain.p:.2g}")


def as_json(gain: Gain, arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "command": ["benchmarks/gain.py", *sys.argv[1:]],
        "seeds": arguments.seeds,
        "alone": gain.alone,
        "taught": gain.taught,
        "gain_points": fmean(gain.points),
        "interval": gain.interval,
        "only_taught": gain.only_taught,
        "only_alone": gain.only_alone,
        "p": gain.p,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in ("torch", "snntorch", "kdsnn")}},
    }


if __name__ == "__main__":
    main()
