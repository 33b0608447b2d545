"""What cannot be data: each fault is named, with the file, the image or the class, and what to do."""

import contextlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import Dataset as TorchDataset

from kdsnn.data.sources import source
from kdsnn.data.sources.load import load_data, load_images
from kdsnn.data.sources.source import Reading
from kdsnn.data.sources.values import to_pixels
from kdsnn.errors import InputError, UsageError
from tests.data.sources.made import folder, numbered

X, Y = numbered(12, 2, (5, 6))
FLOATS = (X / 255).astype(np.float32)


def changed(array: np.ndarray, value: float, image: int = 7) -> np.ndarray:
    array = array.copy()
    array[image, 2, 3] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": changed(FLOATS, np.nan), "y": Y}, "image 7 holds nan"),
        ({"x": changed(FLOATS, np.inf), "y": Y}, "image 7 holds inf"),
        ({"x": changed(FLOATS, -0.25), "y": Y}, r"image 7 holds -0.25, outside 0 to 1.*\n.*data.range = \[-1, 1\]"),
        ({"x": FLOATS * 255, "y": Y}, r"outside 0 to 1, what floats are taken to be.*\n.*data.range = \[0, 255\]"),
        ({"x": changed(FLOATS, 700.0), "y": Y}, r"image 7 holds 700.*\n.*data.range = \[0, 700\]"),
        ({"x": X.astype(np.int64), "y": Y}, "int64 without a range"),
        ({"x": X.astype(np.complex64), "y": Y}, "complex64, no numbers"),
        ({"x": X.astype(str), "y": Y}, "no numbers"),
        ({"x": X}, "has no labels"),
        ({"data": X, "target": Y}, r"holds the arrays 'data', 'target'"),
        ({}, "holds the arrays of nothing"),
        ({"x": X, "y": Y, "x_test": X}, "holds the arrays"),
        ({"x_train": X, "y_train": Y}, "images for train and none for test"),
        ({"x_train": X, "y_train": Y, "x_test": X[:4]}, "test has no labels"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y}, "the test images are the training images"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :4], "y_test": Y}, "train images are"),
        ({"x": X, "y": Y[:5]}, "12 images have 5 labels"),
        ({"x": X, "y": Y / 1.0}, "labels are float64"),
        ({"x": X, "y": np.eye(2, dtype=int)[Y]}, r"y.argmax\(1\)"),
        ({"x": X, "y": Y.astype(str)}, "number the classes from 0"),
        ({"x": X, "y": Y - 1}, "labels reach from -1 to 0"),
        ({"x": X, "y": Y, "classes": np.array(["a"])}, "labels reach from 0 to 1; classes from 0 to 0"),
        ({"x": X, "y": Y, "classes": np.array(["a", "a"])}, "two classes have the same name"),
        ({"x": X, "y": Y, "classes": np.array([1, 2])}, "classes are int64"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b", "c"])}, "no training image is of class 'c'"),
        ({"x": X, "y": Y + 1}, "no training image is of class 0"),
        ({"x": X, "y": Y * 10**12}, "no training image is of class 1"),
        ({"x": X, "y": Y * 0}, "has one class"),
        ({"x": X[:3], "y": np.array([0, 0, 1])}, None),
        ({"x": X, "y": Y, "range": np.array([1, 0])}, "the smaller first"),
        ({"x": X, "y": Y, "range": np.array([0, np.nan])}, "the smaller first"),
        ({"x": X, "y": Y, "range": np.array([0.0])}, "not two numbers"),
        ({"x": X, "y": Y, "range": np.array([0, 16])}, "outside 0 to 16, the range that was said"),
        ({"x": X[:0], "y": Y[:0]}, "holds no images"),
        ({"x": X[:, :0], "y": Y}, "holds no images"),
        ({"x": X[0, 0], "y": Y}, "neither"),
        ({"x": np.uint8(3), "y": Y}, "neither"),
        ({"x": np.zeros((12, 9, 8, 3), np.uint8), "y": Y}, r"looks like \(N, H, W, C\)"),
        ({"x": np.zeros((12, 8, 8, 1), np.uint8), "y": Y}, r"looks like \(N, H, W, C\)"),
    ],
)
def test_arrays(arrays: dict[str, Any], words: str | None, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    for data in (tmp_path / "a.npz", arrays):
        if words is None:
            assert len(load_data(data).test.labels) == 1
            continue
        with pytest.raises(InputError, match=words):
            load_data(data)


def test_a_class_that_the_split_leaves_nothing_of() -> None:
    labels = np.array([0] * 11 + [1])
    with pytest.raises(InputError, match="class '1' has too few images to be divided: 1"):
        load_data((X, labels), Reading(test_share=0.9))


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_of_nothing_or_all(share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        Reading(test_share=share)


def test_ranges_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="from 0 to 1, not from -1 to 1"):
        load_data({"x": FLOATS, "y": Y, "range": np.array([0, 1])}, Reading((-1.0, 1.0)))
    photos = folder(tmp_path / "photos", X, Y, "ab")
    with pytest.raises(InputError, match="from 0 to 255, not from 0 to 1"):
        load_data(photos, Reading((0.0, 1.0)))
    assert load_images(photos, Reading((0.0, 1.0))).images.max() > 200  # they say it themselves


@example(1e4, 1e-4, 0, "f8")  # float32 has not the digits
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(0, 2**32 - 1), st.sampled_from(["f2", "f4", "f8", "i4"]))
def test_any_range_becomes_pixels_rounded_once(low: float, width: float, seed: int, kind: str) -> None:
    high = low + width
    drawn = np.random.default_rng(seed).uniform(low, high, (12, 1))
    values = np.clip(drawn, -60000, 60000).astype(kind)
    inside = (values.astype(np.float64) >= low) & (values.astype(np.float64) <= high)
    values = values[inside].reshape(-1, 1)
    pixels = to_pixels(values, (low, high), "x", 0)
    exact = (values.astype(np.float64) - low) / width * 255
    assert (np.abs(pixels - exact) <= 0.5 + 1e-6).all()  # half a pixel, and the rounding of low + width


def test_true_and_false_and_the_ends_of_a_range() -> None:
    assert to_pixels(np.array([[True, False]]), None, "x", 0).tolist() == [[255, 0]]
    assert to_pixels(np.array([[0.0, 1.0, 0.5]]), None, "x", 0).tolist() == [[0, 255, 128]]
    assert to_pixels(np.array([[-1.0, 1.0, 0.0]]), (-1, 1), "x", 0).tolist() == [[0, 255, 128]]
    assert to_pixels(np.array([[0, 16, 8]], np.uint8), (0, 16), "x", 0).tolist() == [[0, 255, 128]]


SPIKES = (X > 128).astype(np.uint8)


def test_spikes_stored_as_0_and_1_need_a_range(tmp_path: Path) -> None:
    """Taken for pixels they would be all but black."""
    np.savez(tmp_path / "a.npz", x=SPIKES, y=Y)
    for data in (tmp_path / "a.npz", (SPIKES, Y), SPIKES):
        with pytest.raises(InputError, match=r"the largest value is 1 of 255\n.*--data-range 0:1 \(data.range"):
            load_images(data)
    with pytest.raises(InputError, match="the largest value is 1 of 255"):
        load_data(tmp_path / "a.npz")
    assert np.array_equal(load_images(SPIKES, Reading((0, 1))).images[:, 0], SPIKES * 255)
    assert np.array_equal(load_images(SPIKES, Reading((0, 255))).images[:, 0], SPIKES)
    assert np.array_equal(load_images({"x": SPIKES, "range": np.array([0, 1])}).images[:, 0], SPIKES * 255)
    for dark in (SPIKES * 0, SPIKES * 2):
        assert np.array_equal(load_images(dark).images[:, 0], dark)


def test_pickled_and_broken_files(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {tmp_path}/executed",)

    trap = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "a.npz", x=trap, y=Y)
    np.save(tmp_path / "b.npy", trap)
    for name in ("a.npz", "b.npy"):
        with pytest.raises(InputError, match="holds Python objects"):
            load_data(tmp_path / name)
    assert not (tmp_path / "executed").exists()
    np.savez_compressed(tmp_path / "whole.npz", x=X, y=Y)
    np.save(tmp_path / "whole.npy", X)
    for name in ("whole.npz", "whole.npy"):
        data = (tmp_path / name).read_bytes()
        for cut in (b"", b"hello", data[: len(data) // 2], data[:-1], data[:20]):
            path = tmp_path / f"broken{Path(name).suffix}"
            path.write_bytes(cut)
            with pytest.raises(InputError, match="broken"):
                load_images(path)
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:
        header = str({"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**6)}).encode().ljust(117) + b"\n"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match="is broken"):
        load_images(tmp_path / "large.npz")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_to_a_file_ends_in_anything_but_an_input_error(data: st.DataObject) -> None:
    import io
    import tempfile

    buffer = io.BytesIO()
    kind = data.draw(st.sampled_from(["npz", "npy", "png", "jpg"]))
    if kind == "npz":
        np.savez_compressed(buffer, x=X, y=Y)
    elif kind == "npy":
        np.save(buffer, X)
    else:
        Image.fromarray(X[0]).save(buffer, "PNG" if kind == "png" else "JPEG")
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"a.{kind}"
        file.write_bytes(damaged)
        with contextlib.suppress(InputError):
            load_images(file.parent if kind in ("png", "jpg") else file)


def test_folders(tmp_path: Path) -> None:
    def refused(name: str, words: str) -> None:
        with pytest.raises(InputError, match=words):
            load_data(tmp_path / name)

    def photos(name: str) -> Path:
        return folder(tmp_path / name, X, Y, "ab")

    (tmp_path / "empty").mkdir()
    refused("empty", "empty holds no images")
    (photos("hollow") / "c").mkdir()
    refused("hollow", "hollow/c holds no images")
    folder(tmp_path / "one", X, Y * 0, "a")
    refused("one", "one has one class")
    folder(tmp_path / "high" / "photos", X, Y, "ab")
    refused("high", "photos holds folders: a")
    Image.fromarray(X[0]).save(photos("beside") / "x.png")
    refused("beside", "beside holds images beside the folders of classes")
    Image.fromarray(X[0]).save(photos("bmp") / "a" / "x.BMP")
    refused("bmp", "bmp/a holds images that are neither PNG nor JPEG")
    refused("beside/a", "a has no labels")
    folder(tmp_path / "train only" / "train", X, Y, "ab")
    refused("train only", "train holds folders: a")
    folder(tmp_path / "other" / "train", X, Y, "ab")
    folder(tmp_path / "other" / "test", X, Y, "bc")
    refused("other", "other/test holds classes that .*/train has not: c")
    folder(tmp_path / "same" / "train", X, Y, "ab")
    (tmp_path / "same" / "test").mkdir()
    (tmp_path / "same" / "test" / "a").symlink_to(tmp_path / "same" / "train" / "a")
    refused("same", "6 images are in both")


def test_images(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", X, Y, "ab")
    (photos / "a" / "b0.png").write_bytes(b"not an image")
    (photos / "a" / "b1.png").write_bytes((photos / "a" / "00000.png").read_bytes()[:-30])
    Image.fromarray(X[0].T.copy()).save(photos / "b" / "b2.png")
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(photos / "b" / "b3.jpeg")
    Image.fromarray(np.zeros((5, 6, 4), np.uint8)).save(photos / "b" / "b4.png")
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(photos / "b" / "b5.png")
    (photos / "b" / "b6.png").symlink_to("nowhere.png")
    Image.fromarray(X[0]).save(photos / "b" / "b7.png", format="GIF")
    with pytest.raises(InputError, match="8 of 20 images") as caught:
        load_data(photos)
    said = str(caught.value)
    for words in (
        "b0.png is broken: no PNG or JPEG",
        "b1.png is broken",
        "b2.png is 5 x 6 grey",
        "b3.jpeg is 6 x 5 RGB",
        "b4.png is transparent",
        "b5.png has mode I;16",
        "b6.png is broken",
        "b7.png is broken: no PNG or JPEG",
        "00000.png, which is 6 x 5 grey",
    ):
        assert words in said, said
    for file in (photos / "a").iterdir():
        file.write_bytes(b"")
    with pytest.raises(InputError, match="00001"):
        load_images(photos / "a" / "..")


def test_modes_of_images(tmp_path: Path) -> None:
    bits = Image.fromarray(X[0] > 100)
    assert bits.mode == "1"
    bits.save(tmp_path / "bits.png")
    assert np.array_equal(load_images(tmp_path).images[0, 0], (X[0] > 100) * 255)
    colours = np.stack([X[0], X[1], X[2]], axis=-1)
    Image.fromarray(colours).quantize(200).save(tmp_path / "bits.png")
    assert np.array_equal(load_images(tmp_path).images[0], np.moveaxis(colours, -1, 0))


def test_torch_data_sets() -> None:
    class Made(TorchDataset[Any]):
        def __init__(self, items: list[Any]) -> None:
            self.items = items

        def __getitem__(self, index: int) -> Any:
            item = self.items[index]
            if isinstance(item, Exception):
                raise item
            return item

    class Counted(Made):
        def __len__(self) -> int:
            return len(self.items)

    good = [(x, int(y)) for x, y in zip(X, Y, strict=True)]
    for data, words in (
        (Made(good), "without a length"),
        (Counted([]), "holds no images"),
        (Counted([*good, OSError("gone")]), "item 12 cannot be read: OSError: gone"),
        (Counted([*good, (X[0, 1:], 0)]), r"image 12 is uint8 of shape \(4, 6\), and image 0"),
        (Counted([*good, (FLOATS[0], 0)]), "image 12 is float32"),
        (Counted([*good, (X[0], 0.5)]), "the label of item 12"),
        (Counted([x for x, _ in good]), "has no labels"),
        ([1, 2, 3], "is a list, not data"),
        (None, "is None, not data"),
        (((X, Y), None), "is None, not data"),
    ):
        with pytest.raises(InputError, match=words):
            load_data(data)
    pillow = Counted([(Image.fromarray(np.stack([x, x, x], -1)), int(y)) for x, y in zip(X, Y, strict=True)])
    assert load_data(pillow).image_shape == (3, 5, 6)


def test_what_is_larger_than_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4, "SC_PHYS_PAGES": 50}[name])
    with pytest.raises(InputError, match="of memory"):
        load_images(X)
    assert len(load_images(X[:6]).images) == 6


def test_hidden_json_is_no_image(tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", X, Y, "ab")
    (photos / "a" / "labels.json").write_text(json.dumps({}))
    assert len(load_images(photos).images) == 12


def test_a_misspelt_path_brings_what_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    (tmp_path / "mine.py").write_text("def load():\n    return 1\n")
    for wrong, words in {
        "photo": "there is no data set 'photo'; did you mean 'photos'?",
        "mine.np": "did you mean 'mine.npz'?",
        "digit": "did you mean 'digits'?",
        "mines.npz": rf"no file or folder {tmp_path}/mines.npz\n  did you mean {tmp_path}/mine.npz\?",
        "./photoz": rf"did you mean {tmp_path}/photos\?",
        "nowhere/mine.npz": "no file or folder",
        "mine.py": "or a function: mine.py:FUNCTION",
        "mine.py:": "names no function: FILE.py:FUNCTION",
    }.items():
        with pytest.raises((InputError, UsageError), match=words):
            load_data(wrong)
