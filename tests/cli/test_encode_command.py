"""`--encode`: which names there are, where it may stand, and what a network keeps of it."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from kdsnn.choices import ENCODERS
from kdsnn.data.datasets import load_dataset
from kdsnn.data.encoders import encoded
from kdsnn.errors import UsageError
from kdsnn.export.nir import read_nir
from kdsnn.steps.evaluate import evaluate
from kdsnn.steps.images import select_images
from kdsnn.steps.models import load
from kdsnn.steps.quantize import quantize
from tests.cli.conftest import Cli
from tests.cli.test_errors import assert_error
from tests.data.test_events_page import write_network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_network(tmp_path / "other.nir")
    out = tmp_path / "made.nir"
    quantize(tmp_path / "other.nir", data="digits", encode="rate", timesteps=5, max_disagreement=1, out=out)
    return out


def test_encoders_are_listed(cli: Cli) -> None:
    assert cli("list", "encoders", "--json").json == {"encoders": ENCODERS.names()}


def test_a_file_keeps_how_it_was_shown_images(model: Path) -> None:
    network = read_nir(model)
    assert network.image_shape == (5, 1, 8, 8)
    assert json.loads(network.provenance["reading"]) == {"encode": "rate"}
    opened, digits = load(str(model)), load_dataset("digits").test
    shown = select_images(opened, dataset="digits", samples=20)
    everything = encoded(digits.images, "rate", 5)
    assert {image.tobytes() for image in shown.images} <= {image.tobytes() for image in everything}
    assert np.array_equal(select_images(opened, dataset="digits").images, everything)
    other = select_images(opened, images=digits.images, encode="latency")
    assert np.array_equal(other.images, encoded(digits.images, "latency", 5))
    assert other.identity.sha256 != shown.identity.sha256


def test_frames_of_many_steps_are_never_in_memory_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in a file, and from the encoder to the comparison parts of them are worked on."""
    write_network(tmp_path / "other.nir")
    steps, some = 200, load_dataset("digits").test.images[:300]
    out = tmp_path / "made.nir"
    quantize(tmp_path / "other.nir", data=some[:30], encode="rate", timesteps=steps, max_disagreement=1, out=out)
    opened, frames = load(str(out)), encoded(some, "rate", steps)
    wanted = evaluate(opened, "reference", frames)
    monkeypatch.setattr("kdsnn.data.room.HELD", 2**20)
    monkeypatch.setattr("kdsnn.data.encoders.AT_ONCE", 2**16)
    monkeypatch.setattr("kdsnn.evaluation.on_targets.MOST_SPIKES", 2**17)
    tracemalloc.start()
    try:
        found = evaluate(opened, "reference", some)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < frames.nbytes / 2
    assert found.counts == wanted.counts
    assert np.array_equal(found.predictions, wanted.predictions)


def test_frames_are_shown_as_they_are(model: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 5, 1, 8, 8), dtype=np.uint8)
    assert np.array_equal(select_images(load(str(model)), images=frames).images, frames)


def test_still_images_for_a_network_in_time_are_told(cli: Cli, model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", load_dataset("digits").test.images[:5])
    command = ("evaluate", model, "-t", "reference", "--images", tmp_path / "x.npy")
    assert cli(*command).code == 0  # encoded, as it was calibrated
    assert_error(cli(*command, "--encode", "direct"), 3, "takes (N, 5, 1, 8, 8): a frame for each of its 5 time steps")


def test_a_wrong_name_is_refused(cli: Cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(64, 2)\n")
    for command in (
        ("quantize", tmp_path / "other.nir", "--calibrate", "digits"),
        ("export", model, "-t", "reference", "--images", "digits"),
        ("evaluate", model, "-t", "reference", "--dataset", "digits"),
        ("convert", f"{tmp_path / 'net.py'}:make", "--images", "digits"),
    ):
        assert_error(cli(*command, "--encode", "rates"), 2, "no encoder 'rates'", "did you mean 'rate'?")


def test_encode_is_for_files_and_needs_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--encode.* are for NIR files"):
        quantize("some-run", encode="rate")
    write_network(tmp_path / "other.nir")
    with pytest.raises(UsageError, match="images of a data set"):
        quantize(tmp_path / "other.nir", encode="rate")
