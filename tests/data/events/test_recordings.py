"""Files of events: each format by bytes that the test writes, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from kdsnn.data.datasets import load_dataset
from kdsnn.data.events.binning import Binning, to_frames
from kdsnn.data.events.recordings import read_recording
from kdsnn.data.sources.load import load_data, load_images
from kdsnn.data.sources.source import Reading
from kdsnn.errors import InputError, MissingExtraError
from tests.data.events.made import (
    Events,
    by_hand,
    some_events,
    write_aedat3,
    write_gesture,
    write_nmnist,
    write_shd,
)

SIZE = (12, 16)


def write(kind: str, path: Path, events: Events) -> None:
    if kind == "table":
        np.save(path, np.stack([events[k] for k in "xytp"], axis=1))
    elif kind == "fields":
        table = np.empty(len(events["x"]), [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", bool)])
        for name, values in events.items():
            table[name] = values
        np.save(path, table)
    else:
        {".npz": lambda p, e: np.savez(p, **e), ".bin": write_nmnist, ".aedat": write_aedat3}[path.suffix](path, events)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("table", ".npy"), ("fields", ".npy"), ("", ".npz"), ("", ".bin"), ("", ".aedat")]
)
def test_every_format_has_the_same_events(kind: str, suffix: str, tmp_path: Path) -> None:
    events = some_events(0, SIZE)
    write(kind, tmp_path / f"one{suffix}", events)
    read = read_recording(tmp_path / f"one{suffix}")
    for name, values in zip("xytp", read, strict=True):
        assert np.array_equal(values, events[name])
    assert np.array_equal(to_frames(*read, SIZE, Binning(4)), by_hand(events, SIZE, 4))


def test_a_folder_of_recordings_is_a_data_set(tmp_path: Path) -> None:
    every = {}
    for i in range(10):
        events = every[i] = some_events(i, SIZE)
        place = tmp_path / ("left", "right")[i % 2]
        place.mkdir(exist_ok=True)
        write("", place / f"{i}.npz", events)
    made = load_data(tmp_path, Reading(steps=4, sensor=SIZE))
    assert made.image_shape == (4, 2, *SIZE)
    assert made.labels == ("left", "right")
    found = {f.tobytes() for f in np.concatenate([made.train.images, made.test.images])}
    assert found == {by_hand(e, SIZE, 4).tobytes() for e in every.values()}
    shown = load_images(tmp_path / "left" / "..", Reading(steps=4, sensor=SIZE))
    assert len(shown.images) == 10
    with pytest.raises(InputError, match="does not say how many pixels") as caught:
        load_data(tmp_path, Reading(steps=4))
    assert "[12, 16]" in (caught.value.hint or "")
    with pytest.raises(InputError, match="lies outside the 12 x 15 pixels"):
        load_data(tmp_path, Reading(steps=4, sensor=(12, 15)))


def test_a_folder_with_a_split(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("test", 50)):
        for i in range(4):
            place = tmp_path / part / ("left", "right")[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            write("", place / f"{i}.npz", some_events(first + i, SIZE))
    made = load_data(tmp_path, Reading(steps=2, sensor=SIZE))
    assert len(made.train.labels) == len(made.test.labels) == 4
    assert np.array_equal(made.test.images[0], by_hand(some_events(50, SIZE), SIZE, 2))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", {"x": np.arange(3)}, "cannot be read as events: it has no y"),
        ("a.npz", {k: np.full(3, 0.5) for k in "xytp"}, "x is float64 of shape"),
        ("a.npz", {k: np.zeros((3, 1), int) for k in "xytp"}, r"x is int64 of shape \(3, 1\)"),
        ("a.npy", np.zeros((5, 3), int), "no columns x, y, t, p"),
        ("a.npy", np.array([{"a": 1}], dtype=object), "holds Python objects"),
        ("a.aedat4", b"nothing", "it is no AEDAT file"),
        ("a.bin", bytes(23), "cannot be read as events"),
    ],
)
def test_what_is_no_recording_is_refused(name: str, content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        read_recording(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, first in (("Train", 0), ("Test", 100)):
        for digit in range(10):
            write_nmnist(tmp_path / f"NMNIST/{part}/{digit}/{first:05}.bin", some_events(first + digit, (34, 34)))
    for part, user in (("Train", 1), ("Test", 24)):
        for gesture in range(11):
            file = tmp_path / f"DVSGesture/ibmGesture{part}/user{user:02}_fluorescent_led/{gesture}.npy"
            write_gesture(file, some_events(user + gesture, (128, 128)))
    for part in ("train", "test"):
        rng = np.random.default_rng(len(part))
        times = [np.sort(rng.random(30 + i)) for i in range(40)]
        write_shd(tmp_path / f"SHD/shd_{part}.h5", times, [rng.integers(0, 700, len(t)) for t in times])
    return tmp_path


def test_n_mnist(root: Path) -> None:
    made = load_dataset("n-mnist", root, Binning(3))
    assert made.image_shape == (3, 2, 34, 34)
    assert made.train.labels.tolist() == made.test.labels.tolist() == list(range(10))
    assert np.array_equal(made.test.images[7], by_hand(some_events(107, (34, 34)), (34, 34), 3))


def test_dvs_gesture(root: Path) -> None:
    made = load_dataset("dvs-gesture", root, Binning(3))
    assert made.image_shape == (3, 2, 128, 128)
    assert len(made.labels) == 11
    events = some_events(24 + int(made.test.labels[5]), (128, 128))
    events["t"] = events["t"] // 1000
    assert np.array_equal(made.test.images[5], by_hand(events, (128, 128), 3))


def test_shd_is_vectors_in_time(root: Path) -> None:
    made = load_dataset("shd", root, Binning(5, "time", 8))
    assert made.image_shape == (5, 700)
    assert made.train.labels.tolist() == [i % 20 for i in range(40)]
    assert made.train.images[3].sum() == 33


@pytest.mark.parametrize("name", ["n-mnist", "dvs-gesture", "shd", "cifar10-dvs"])
def test_nothing_is_downloaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it would download")

    monkeypatch.setattr("tonic.download_utils.download_url", never)
    monkeypatch.setattr("urllib.request.urlopen", never)
    with pytest.raises(InputError, match=f"{name} is not there") as caught:
        load_dataset(name, tmp_path)
    assert "docs/events.md" in (caught.value.hint or "")


def test_a_file_that_is_broken_is_named(root: Path) -> None:
    (root / "DVSGesture/ibmGestureTrain/user01_fluorescent_led/3.npy").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"dvs-gesture: .*user01_fluorescent_led/3\.npy cannot be read: ValueError"):
        load_dataset("dvs-gesture", root, Binning(2))
    (root / "SHD/shd_test.h5").write_bytes(b"broken")
    with pytest.raises(InputError, match="shd cannot be read: OSError"):
        load_dataset("shd", root, Binning(2))


def test_without_tonic_it_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(MissingExtraError) as caught:
        load_dataset("n-mnist", root, Binning(4))
    assert "kdsnn[events]" in (caught.value.hint or "")
