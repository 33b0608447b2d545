"""How benchmarks/gain.py weighs trainings, and that it goes by its plan."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.stats

from kdsnn.files.reading import read_json

ROOT = Path(__file__).parents[1]
PLAN = """
name = "tiny"
about = "Tiny."
written = "2026-11-28"
seeds = [0, 1]

[data.digits]
recipe = "digits-2conv"
set = [
    "data.train_samples=300", "data.augment=none", "student.channels=[4,4]", "student.hidden=16", "train.epochs=4",
    "train.batch_size=16", "train.lr=0.03", "teacher.epochs=1", "teacher.width=0.125", "teacher.precision=fp32",
]

[data.digits.teachers]
cnn = []

[sides.alone]
set = ["distill.kind=none"]

[sides.drive]
set = ["distill.kind=drive"]
against = "alone"
taught = true
"""


@pytest.fixture
def gain(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return import_module("gain")


def test_the_interval_by_hand(gain: ModuleType) -> None:
    alone = np.array([[1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0]], dtype=bool)
    taught = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 0, 0]], dtype=bool)
    made = gain.gain(alone, taught)
    assert (made.alone.tolist(), made.taught.tolist()) == ([50, 50, 25], [100, 75, 50])
    assert made.points == pytest.approx(100 / 3)
    # the differences are 0 100 100 0, 0 100 0 0 and 0 100 0 0; their mean is 100 / 3
    seeds = 4 * ((50 - 100 / 3) ** 2 + 2 * (25 - 100 / 3) ** 2) / 2
    images = 3 * (2 * (100 / 3) ** 2 + (200 / 3) ** 2) / 3
    whole = 4 * (200 / 3) ** 2 + 8 * (100 / 3) ** 2
    rest = (whole - 2 * seeds - 3 * images) / 6
    total = seeds + images - rest
    freedom = total**2 / (seeds**2 / 2 + images**2 / 3 + rest**2 / 6)
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(total / 12)
    assert made.interval == pytest.approx((100 / 3 - half, 100 / 3 + half))


def test_the_interval_is_no_narrower_than_seeds_alone_make_it(gain: ModuleType) -> None:
    """What seeds and images have in common is more than the images' part here: it is taken for nothing."""
    alone = np.zeros((3, 4), dtype=bool)
    taught = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    half = 4.302653 * np.sqrt(np.var([25, 25, 0], ddof=1) / 3)  # Student's t, two degrees of freedom
    assert gain.gain(alone, taught).interval == pytest.approx((50 / 3 - half, 50 / 3 + half))


def test_two_sides_that_are_equal_have_an_interval_of_nothing(gain: ModuleType) -> None:
    assert gain.gain(np.ones((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)).interval == (0, 0)


def test_the_interval_holds_the_true_gain_as_often_as_it_says(gain: ModuleType) -> None:
    """Seeds and images with effects of their own: without a part it would be missed more often, counted twice less."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(1000):
        seeds, images = rng.normal(0, 0.02, (6, 1)), rng.normal(0, 0.1, (1, 400))
        better = rng.random((6, 400)) < np.clip(0.15 + seeds + images, 0, 1)
        worse = rng.random((6, 400)) < 0.1
        made = gain.gain(worse & ~better, better & ~worse)
        truth = 100 * float(np.mean(np.clip(0.15 + rng.normal(0, 0.1, 100_000), 0, 1)) - 0.1)
        hits += made.interval[0] <= truth <= made.interval[1]
    assert (
        935 <= hits <= 975
    )  # 950, give or take two standard deviations; and it is rather too wide where it is cut off


def test_one_seed_says_nothing_of_others(gain: ModuleType) -> None:
    made = gain.gain(np.array([[True, False]]), np.array([[True, True]]))
    assert (made.points, made.interval) == (50, (-np.inf, np.inf))


def test_the_plans_that_are_here_can_be_read(gain: ModuleType) -> None:
    plans = [gain.read(path)[0] for path in sorted((ROOT / "benchmarks").glob("gain-*.toml"))]
    assert [plan.name for plan in plans] == ["controls", "digits-unlabelled", "digits", "equal-labels", "fashion"]
    for plan in plans:
        for training in gain.trainings_of(plan):
            gain.load_recipe(plan.data[training.data].recipe, training.changes(plan))


def test_a_plan_from_end_to_end(
    gain: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path))
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)

    def ask(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["gain.py", str(path), *more])
        gain.main()
        return capsys.readouterr().out

    first = ask("--part", "0/2")
    assert first.count("gain-tiny-digits") == 2
    assert "| data |" not in first  # a part has no report
    report = ask()
    report = report[report.index("Tiny.") :]
    assert "seeds [0, 1]; 4 trainings of 4" in report
    runs = [f"gain-tiny-digits-{side}-{seed}" for seed in (0, 1) for side in ("alone-alone", "drive-cnn")]
    every = [line.split(" | ")[-2:] for line in report.splitlines()[-4:]]
    for run, (of_float, of_integer) in zip(runs, every, strict=True):
        student, quantized = (read_json(tmp_path / run / f"{name}.json") for name in ("student", "quantization"))
        assert 0.2 < student["accuracy"] < 1
        assert of_float == f"{100 * student['accuracy']:.2f}"
        assert of_integer == f"{100 * quantized['integer_accuracy']:.2f} |"

    def never(*_a: object, **_k: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(gain, "distill", never)
    assert ask() == report
    path.write_text(PLAN.replace("[0, 1]", "[0]"))
    with pytest.raises(SystemExit, match="say why it was changed"):
        ask()
    assert "changed after the first training: one seed is enough" in ask("--changed", "one seed is enough")
    assert "changed after the first training: one seed is enough" in ask()
