"""What a teacher adds to a student: trainings by a plan that was written before, on the float and the integer network.

    uv run python benchmarks/gain.py benchmarks/gain-fashion.toml [--part I/N] [--changed WHY]

The plan names data, teachers, sides and seeds. Every run has a folder of its own under KDSNN_RUNS: what is there is
taken as it is, and what was cut off goes on. `--part 0/2` and `--part 1/2` share the trainings between two processes.

What counts are answers on the whole test split: of the float student, and of its integer network (8-bit weights, by
the recipe's quantization). Gains are paired: same seed, first weights and images on both sides. Their interval says
what other seeds *and* other test images would change. A plan that was begun cannot be changed any more, unless
`--changed` says why: the report says so, too.
"""

from __future__ import annotations

import argparse
import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import t as student_t

from kdsnn.distill.accuracy import right_answers
from kdsnn.distill.student import distill, load_student
from kdsnn.files.reading import read_json
from kdsnn.files.writing import make_folder, write_atomic, write_json
from kdsnn.recipes.load import load_recipe
from kdsnn.run_folders import runs_root
from kdsnn.steps.post_training import right_on
from kdsnn.steps.quantize_run import quantize_run

Right = npt.NDArray[np.bool_]
NETWORKS = ("float", "integer")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """A recipe, what is changed in it on all sides (`{seed}` is the seed), and for each teacher what makes it."""

    recipe: str
    set: list[str] = []
    teachers: dict[str, list[str]]


class Side(_Section):
    """What is changed in the recipe on one side.

    Attributes:
        set: the changes.
        against: the side that it is compared with; None is compared with none.
        taught: whether it is trained once for each teacher.
    """

    set: list[str]
    against: str | None = None
    taught: bool = False


class Plan(_Section):
    """All trainings, written before the first."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    about: str
    written: str
    seeds: list[int] = Field(min_length=1)
    data: dict[str, Data]
    sides: dict[str, Side]


@dataclass(frozen=True)
class Training:
    """One of a plan's trainings; `teacher` is None of a side without one."""

    data: str
    side: str
    teacher: str | None
    seed: int

    def run(self, plan: Plan) -> Path:
        """Its folder."""
        return runs_root() / "-".join(
            ("gain", plan.name, self.data, self.side, self.teacher or "alone", str(self.seed))
        )

    def changes(self, plan: Plan) -> list[str]:
        """What it changes in its recipe."""
        data, side = plan.data[self.data], plan.sides[self.side]
        teacher = data.teachers[self.teacher] if self.teacher else []
        changes = [f"seed={self.seed}", *data.set, *teacher, *side.set]
        return [change.replace("{seed}", str(self.seed)) for change in changes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--part", default="0/1", metavar="I/N", help="every N-th training from the I-th, and no report")
    parser.add_argument("--changed", metavar="WHY", help="go on by a plan that was changed after its first training")
    arguments = parser.parse_args()
    plan, text = read(arguments.plan)
    changes = begin(plan, text, arguments.changed)
    part, parts = (int(number) for number in arguments.part.split("/"))
    trainings = list(trainings_of(plan))
    for training in trainings[part::parts]:
        train(training, plan)
    if parts == 1:
        print("\n".join(report(plan, changes)))


def read(path: Path) -> tuple[Plan, bytes]:
    """A plan, and its file as it is."""
    text = path.read_bytes()
    return Plan.model_validate(tomllib.loads(text.decode())), text


def begin(plan: Plan, text: bytes, why: str | None) -> list[str]:
    """Keeps the plan before its first training, and refuses another one afterwards. Returns the changes so far."""
    folder = runs_root() / f"gain-{plan.name}"
    make_folder(folder)
    kept, said = folder / "plan.toml", folder / "changes.json"
    changes: list[str] = read_json(said)["changes"] if said.is_file() else []
    if kept.is_file() and kept.read_bytes() != text:
        if why is None:
            raise SystemExit(
                f"{kept} was begun by another plan: say why it was changed (--changed), or name another one"
            )
        changes.append(f"changed after the first training: {why}")
        write_json(said, {"changes": changes, "before": hashlib.sha256(kept.read_bytes()).hexdigest()})
    write_atomic(kept, text)
    return changes


def trainings_of(plan: Plan) -> Iterator[Training]:
    """All trainings, seed by seed, so that a plan that is cut off has whole seeds."""
    for seed in plan.seeds:
        for data, section in plan.data.items():
            for name, side in plan.sides.items():
                teachers: list[str | None] = list(section.teachers) if side.taught else [None]
                yield from (Training(data, name, teacher, seed) for teacher in teachers)


def train(training: Training, plan: Plan) -> None:
    """Trains, quantizes and tests one student; what is done is left."""
    run = training.run(plan)
    if (run / "right.npz").is_file():
        return
    distill(load_recipe(plan.data[training.data].recipe, training.changes(plan)), run=run, resume=True)
    prepared, student = load_student(run)
    network = quantize_run(str(run), max_disagreement=1.0).model.network
    right = {"float": right_answers(student, prepared.dataset.test), "integer": right_on(network, prepared.dataset)}
    np.savez_compressed(run / "right.npz", **right)  # type: ignore[arg-type]
    print(f"{run.name}: " + ", ".join(f"{name} {100 * right[name].mean():.2f}" for name in NETWORKS), flush=True)


@dataclass(frozen=True)
class Gain:
    """A side against another, on the same seeds: accuracies in percent by seed, and the mean gain with its interval."""

    alone: npt.NDArray[np.float64]
    taught: npt.NDArray[np.float64]
    interval: tuple[float, float]

    @property
    def points(self) -> float:
        """The mean gain in points."""
        return float((self.taught - self.alone).mean())


def gain(alone: Right, taught: Right) -> Gain:
    """The gain of two sides `(seeds, images)`, and its 95 % interval.

    Seeds and images are both drawn from many (crossed random effects). The variance of the mean over other seeds and
    other images is that of the seeds' means and that of the images' means, less what both hold of the rest; its degrees
    of freedom are Satterthwaite's. It is not taken for less than that of the seeds. One seed says nothing of others.
    """
    difference = 100 * (taught.astype(np.float64) - alone)
    seeds, images = difference.shape
    points = float(difference.mean())
    if seeds == 1:
        return Gain(100 * alone.mean(axis=1), 100 * taught.mean(axis=1), (-np.inf, np.inf))
    of_seed, of_image = difference.mean(axis=1, keepdims=True), difference.mean(axis=0, keepdims=True)
    rest = ((difference - of_seed - of_image + points) ** 2).sum() / ((seeds - 1) * (images - 1))
    squares = np.array([images * of_seed.var(ddof=1), seeds * of_image.var(ddof=1), -rest])
    freedom = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
    if squares.sum() <= squares[0]:
        squares, freedom = squares[:1], freedom[:1]
    error = (squares.sum() / (seeds * images)) ** 0.5
    spread = (squares**2 / freedom).sum()
    half = float(student_t.ppf(0.975, squares.sum() ** 2 / spread) * error) if spread else 0.0
    return Gain(100 * alone.mean(axis=1), 100 * taught.mean(axis=1), (points - half, points + half))


def report(plan: Plan, changes: list[str]) -> Iterator[str]:
    """A table for each network, a line for each side and teacher; then every training."""
    answers: dict[Training, dict[str, Right]] = {}
    for training in trainings_of(plan):
        path = training.run(plan) / "right.npz"
        if path.is_file():
            with np.load(path) as file:
                answers[training] = {name: file[name] for name in NETWORKS}
    yield f"{plan.about}\n\nPlan of {plan.written}, seeds {plan.seeds}; {len(answers)} trainings of {count(plan)}."
    yield from changes
    for network in NETWORKS:
        yield f"\n| data | side | teacher | {network}, % | against | gain, points | 95 % interval | seeds |"
        yield "|---|---|---|---|---|---|---|---|"
        yield from rows(plan, answers, network)
    yield "\n| data | side | teacher | seed | float, % | integer, % |\n|---|---|---|---|---|---|"
    for training, right in answers.items():
        values = " | ".join(f"{100 * right[name].mean():.2f}" for name in NETWORKS)
        yield f"| {training.data} | {training.side} | {training.teacher or '-'} | {training.seed} | {values} |"


def rows(plan: Plan, answers: dict[Training, dict[str, Right]], network: str) -> Iterator[str]:
    """A line for each side and teacher, on the seeds that both sides have."""
    for data, name, teacher in dict.fromkeys((t.data, t.side, t.teacher) for t in answers):
        mine = {t.seed: a[network] for t, a in answers.items() if (t.data, t.side, t.teacher) == (data, name, teacher)}
        mean = f"{100 * np.mean([a.mean() for a in mine.values()]):.2f}"
        start = f"| {data} | {name} | {teacher or '-'} | {mean} |"
        against = plan.sides[name].against
        theirs = {
            t.seed: a[network]
            for t, a in answers.items()
            if t.data == data and t.side == against and t.teacher in (None, teacher)
        }
        both = [seed for seed in mine if seed in theirs]
        if not both:
            yield f"{start} - | - | - | {len(mine)} |"
            continue
        made = gain(np.stack([theirs[s] for s in both]), np.stack([mine[s] for s in both]))
        low, high = made.interval
        yield f"{start} {against} | {made.points:.2f} | {low:.2f} to {high:.2f} | {len(both)} |"


def count(plan: Plan) -> int:
    """Number of trainings."""
    return len(list(trainings_of(plan)))


if __name__ == "__main__":
    main()
