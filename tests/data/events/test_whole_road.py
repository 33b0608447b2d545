"""Small files in the formats of N-MNIST, DVS128 Gesture and CIFAR10-DVS, from the disk to a target."""

from pathlib import Path

import pytest

from kdsnn.distill.student import distill
from kdsnn.recipes.load import load_recipe
from kdsnn.steps.evaluate import evaluate
from kdsnn.steps.quantize import quantize
from tests.data.events.made import some_events, write_aedat4, write_gesture, write_nmnist

CHANGES = [
    *("data.augment=crop", "teacher.width=0.125", "teacher.epochs=1", "train.epochs=1", "train.batch_size=8"),
    *("student.channels=[2, 2]", "student.hidden=4", "student.timesteps=3", "data.steps=3"),
    "quantize.calibration_samples=8",
]
OBJECTS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write_files(root: Path) -> None:
    """Three recordings of each class: two to learn from and one to be tested on, where the files say which."""
    for part, firsts in (("Train", (0, 1)), ("Test", (2,))):
        for first in firsts:
            for digit in range(10):
                events = some_events(10 * first + digit, (34, 34), top=digit < 5)
                write_nmnist(root / f"NMNIST/{part}/{digit}/{first:05}.bin", events)
            for gesture in range(11):
                place = root / f"DVSGesture/ibmGesture{part}/user{first + 1:02}_natural/{gesture}.npy"
                write_gesture(place, some_events(11 * first + gesture, (128, 128)))
    for name in OBJECTS:
        for i in range(3):
            events = some_events(i, (128, 128), top=OBJECTS.index(name) < 5)
            write_aedat4(root / f"CIFAR10DVS/{name}/cifar10_{name}_{i}.aedat4", events)


@pytest.mark.parametrize(
    ("name", "classes", "pixels", "tested"),
    [("n-mnist", 10, 34, 10), ("dvs-gesture", 11, 128, 11), ("cifar10-dvs", 10, 128, 3)],
)
def test_from_files_to_a_target(
    name: str, classes: int, pixels: int, tested: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDSNN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("KDSNN_DATA", str(tmp_path))
    write_files(tmp_path)
    recipe = load_recipe("saccade-mnist5k-2conv", [f"data.dataset={name}", *CHANGES])
    run = distill(recipe, run=tmp_path / "run", device="cpu")
    done = quantize(run, max_disagreement=1)
    network = done.model.network
    assert network.image_shape == (3, 2, pixels, pixels)
    assert network.input_bits == 1
    found = evaluate(done.model, "reference")
    assert found.samples == tested
    assert len(network.labels) == classes
    assert found.accuracy == done.integer_accuracy
    assert found.counts.total("synops_dense") > 0
