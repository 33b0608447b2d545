"""--calibrate on data of one's own: without labels, of a range, and of numbers that the writer's network never saw."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.export.nir import read_nir
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.cli.test_quantize_command import foreign
from tests.data.sources.made import folder

__all__ = ["foreign"]


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Digits as images and labels; the working directory is that of the foreign file."""
    monkeypatch.chdir(tmp_path)
    train = load_dataset("digits").train
    return train.images[:400], train.labels[:400]


def test_images_without_labels_choose_the_scales(cli: Cli, foreign: Path, arrays: tuple[np.ndarray, ...]) -> None:
    x, y = arrays
    np.save("x.npy", x)
    done = cli("quantize", foreign, "--calibrate", "x.npy", "--max-disagreement", 1, "--json")
    assert done.code == 0, done.err
    assert done.json["integer_accuracy"] is None
    assert done.json["agreement"]["shown"] == "training images of x.npy"
    folder(Path("photos"), x[:, 0], y, [f"digit {n}" for n in range(10)])
    done = cli("quantize", foreign, "--calibrate", "photos", "--max-disagreement", 1, "--json")
    assert done.code == 0, done.err
    assert done.json["integer_accuracy"] is not None
    network = read_nir(foreign.with_name("other-int8.nir"))
    assert network.labels[3] == "digit 3"
    assert network.provenance["dataset"] == "photos"


@pytest.mark.parametrize(
    ("high", "options", "words"),
    [
        (1.0, [], None),
        (1.0, ["--input-scale", 1], "say --input-scale 0.00392157"),
        (255.0, ["--input-scale", 1], None),
        (255.0, [], "say --input-scale 1"),
    ],
)
def test_numbers_are_those_that_the_network_saw(
    cli: Cli, foreign: Path, arrays: tuple[np.ndarray, ...], high: float, options: list[object], words: str | None
) -> None:
    x, y = arrays
    np.savez("a.npz", x=x / 255 * high, y=y, range=[0, high])
    done = cli("quantize", foreign, "--calibrate", "a.npz", "--max-disagreement", 1, *options)
    if words is None:
        assert done.code == 0, done.err
    else:
        assert_error(done, 3, f"values from 0 to {high:g}", words)


def test_a_range_that_does_not_begin_at_0_is_refused(cli: Cli, foreign: Path, arrays: tuple[np.ndarray, ...]) -> None:
    x, y = arrays
    np.savez("a.npz", x=x / 127.5 - 1, y=y, range=[-1, 1])
    assert_error(cli("quantize", foreign, "--calibrate", "a.npz"), 3, "from -1 to 1, and pixels begin at 0")
    np.savez("a.npz", x=x / 127.5 - 1, y=y)
    assert_error(cli("quantize", foreign, "--calibrate", "a.npz"), 3, "outside 0 to 1", "data.range = [-1, 1]")
