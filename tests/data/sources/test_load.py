"""The one resolver: the same data in every form are the same data set, split by a seed into parts that never meet."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import TensorDataset

from kdsnn.data.datasets import Dataset, load_dataset
from kdsnn.data.sources.load import load_data, load_images
from kdsnn.data.sources.save import save_data
from kdsnn.data.sources.source import Reading
from kdsnn.errors import InputError, UsageError
from tests.data.sources.made import folder, numbered, numbers

CLASSES = ("ant", "bee", "cat")


class Items(TorchDataset[tuple[torch.Tensor, int]]):
    """A data set that knows its labels only item by item."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.x[index : index + 1]), int(self.y[index])


def check(dataset: Dataset, test: int) -> None:
    """All 300 numbered images, each once, with its label, and the classes in equal shares."""
    train = numbers(dataset.train.images)
    assert sorted(train + numbers(dataset.test.images)) == list(range(300))
    assert len(dataset.test.labels) == test
    for split in (dataset.train, dataset.test):
        assert (np.array(numbers(split.images)) % 3 == split.labels).all()
    assert np.bincount(dataset.test.labels).tolist() == [test // 3] * 3
    assert set(dataset.train.labels[:20].tolist()) == {0, 1, 2}  # sorted by class, calibration would see one
    assert not dataset.train.images.flags.writeable


def test_the_same_data_in_every_form_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = numbered(300, 3)
    np.savez(tmp_path / "a.npz", x=x, y=y.astype(np.int8))
    np.savez_compressed(tmp_path / "floats.npz", images=(x / 255).astype(np.float32), labels=y[:, None])
    np.save(tmp_path / "b.npy", np.asfortranarray(x[:, None] / 255))
    np.save(tmp_path / "b_labels.npy", y)
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom pathlib import Path\n"
        "def load():\n    with np.load(Path(__file__).with_name('a.npz')) as f:\n        return f['x'], f['y']\n"
    )
    monkeypatch.chdir(tmp_path)
    forms = ["a.npz", tmp_path / "floats.npz", "./b.npy", "mine.py:load", str(tmp_path / "mine.py:load"), (x, y)]
    forms += [{"x": x, "y": y}, TensorDataset(torch.tensor(x), torch.tensor(y)), Items(x, y), (torch.tensor(x), y)]
    made = [load_data(form) for form in forms]
    for dataset in made:
        check(dataset, 60)
        assert dataset.image_shape == (1, 2, 3)
        assert dataset.labels == ("0", "1", "2")
    assert len({dataset.sha256 for dataset in made}) == 1
    assert [d.name for d in made[:6]] == ["a.npz", "floats.npz", "b.npy", "mine.py:load", "mine.py:load", "tuple"]
    for form in forms:
        shown = load_images(form)
        assert numbers(shown.images) == list(range(300))  # in their order: predictions are told by number
        assert np.array_equal(shown.labels, y)


def test_a_folder_of_images_by_class(tmp_path: Path) -> None:
    x, y = numbered(300, 3)
    photos = folder(tmp_path / "photos", x, y, CLASSES)
    (photos / ".hidden").mkdir()
    (photos / "ant" / ".DS_Store").write_text("")
    (photos / "readme.txt").write_text("")
    dataset = load_data(photos)
    check(dataset, 60)
    assert (dataset.name, dataset.labels, dataset.value_range) == ("photos", CLASSES, None)
    assert len(load_data(photos, Reading(test_share=0.5)).test.labels) == 150
    shown = load_images(photos)
    assert numbers(shown.images) == sorted(range(300), key=lambda n: (n % 3, n))  # by class, then by name
    assert shown.classes == CLASSES
    flat = load_images(photos / "bee")
    assert (flat.labels, numbers(flat.images)) == (None, list(range(1, 300, 3)))


def test_a_folder_with_its_own_splits(tmp_path: Path) -> None:
    x, y = numbered(300, 3)
    folder(tmp_path / "p" / "train", x[:200], y[:200], CLASSES)
    folder(tmp_path / "p" / "test", x[200:], np.full(100, 2), CLASSES)
    dataset = load_data(tmp_path / "p")
    assert sorted(numbers(dataset.train.images)) == list(range(200))
    assert numbers(dataset.test.images) == list(range(200, 300))
    assert (dataset.test.labels == 2).all()  # by its name: it is the first folder in test/
    assert numbers(load_images(tmp_path / "p").images) == list(range(200, 300))
    with pytest.raises(InputError, match="has a test split of its own"):
        load_data(tmp_path / "p", Reading(test_share=0.5))
    (tmp_path / "p" / "test").rename(tmp_path / "p" / "val")
    assert len(load_data(tmp_path / "p").test.labels) == 100


@pytest.mark.parametrize("form", ["x_train y_train x_test y_test", "train_images train_labels test_images test_labels"])
def test_arrays_with_their_own_splits(form: str, tmp_path: Path) -> None:
    x, y = numbered(300, 3)
    arrays = (x[:200], y[:200], x[200:], y[200:])
    np.savez(tmp_path / "a.npz", classes=np.array(CLASSES), **dict(zip(form.split(), arrays, strict=True)))
    dataset = load_data(tmp_path / "a.npz")
    assert dataset.labels == CLASSES
    assert sorted(numbers(dataset.train.images)) == list(range(200))
    assert numbers(dataset.test.images) == list(range(200, 300))
    pair = load_data(((x[:200], y[:200]), Items(x[200:], y[200:])))
    assert np.array_equal(pair.train.images, dataset.train.images)
    assert np.array_equal(pair.test.images, dataset.test.images)


def test_names_are_names_and_paths_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = numbered(30, 3)
    monkeypatch.chdir(folder(tmp_path / "digits", x, y, CLASSES).parent)
    folder(tmp_path / "a:b", x, y, CLASSES)
    assert load_data("digits") is load_dataset("digits")
    assert load_data("./digits").labels == CLASSES
    assert load_data("./digits").name == "./digits"  # a result on it is none on the digits
    assert load_data(Path("digits")).labels == CLASSES
    assert load_data("a:b").labels == CLASSES  # what exists is no module
    assert load_images("digits").images is load_dataset("digits").test.images


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("digit", UsageError, "did you mean 'digits'"),
        ("", UsageError, "there is no data set ''"),
        ("nowhere/at/all", InputError, "there is no file or folder"),
        ("none.npz", InputError, "there is no file or folder"),
        (r"C:\photos", InputError, "there is no file or folder"),
        ("C:photos", InputError, "there is no module C"),
        ("no_such_module:load", InputError, "there is no module no_such_module"),
        ("none.py:load", InputError, "there is no file"),
        ("kdsnn.data.digits:lod", InputError, "did you mean 'load'"),
        ("kdsnn.data.digits:load", InputError, "asks for 'name'"),
        ("../../etc/passwd", InputError, "there is no file or folder|is no data"),
        ("/etc/passwd", InputError, "is no data"),
        ("a\0b", UsageError, "there is no data set"),
        ("x" * 5000, UsageError, "there is no data set"),
        ("textwrap:dedent", InputError, "asks for 'text'"),
        ("kdsnn.data.digits:DIGITS", InputError, "is a tuple, not data"),
    ],
)
def test_what_is_not_there_is_named(text: str, error: type[Exception], words: str) -> None:
    for load in (load_data, load_images):
        with pytest.raises(error, match=words):
            load(text)


def test_a_data_set_is_read_once_and_again_where_it_was_changed(tmp_path: Path) -> None:
    x, y = numbered(30, 3)
    photos = folder(tmp_path / "photos", x, y, CLASSES)
    first = load_data(photos)
    assert load_data(photos) is first
    (photos / "bee" / "00001.png").unlink()
    assert len(load_data(photos).train.labels) + len(load_data(photos).test.labels) == 29
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "x_labels.npy", y)
    assert load_data(tmp_path / "x.npy").labels == ("0", "1", "2")
    np.save(tmp_path / "x_labels.npy", y // 2)
    assert load_data(tmp_path / "x.npy").labels == ("0", "1")
    (tmp_path / "f.py").write_text("import numpy as np\ndata = np.zeros((4, 5), np.uint8), np.array([0, 1, 0, 1])\n")
    assert load_data(f"{tmp_path}/f.py:data").image_shape == (5,)
    (tmp_path / "f.py").write_text("import numpy as np\ndata = np.zeros((4, 6), np.uint8), np.array([0, 1, 0, 1])\n")
    assert load_data(f"{tmp_path}/f.py:data").image_shape == (6,)


def test_a_plain_data_set_says_its_split_itself() -> None:
    for data in ("digits", load_dataset("digits")):
        assert load_data(data) is load_dataset("digits")
        with pytest.raises(InputError, match="has its range and its test split itself"):
            load_data(data, Reading(test_share=0.5))


def test_one_torch_data_set_is_asked_for_its_labels_only_where_it_keeps_them() -> None:
    x, y = numbered(30, 3)
    data = Items(x, y)
    data.targets = y.tolist()
    data.classes = list(CLASSES)
    assert load_data(data).labels == CLASSES
    data.targets = (2 - y).tolist()  # not what the items say
    with pytest.raises(InputError, match="another label each time"):
        load_data(data)
    data.target_transform = len
    assert len(load_data(data).labels) == 3


def test_what_was_saved_is_read_as_the_same_again(tmp_path: Path) -> None:
    x, y = numbered(300, 3)
    for data in ({"x": x, "y": y, "classes": np.array(CLASSES)}, "digits"):
        dataset = load_data(data)
        save_data(dataset, tmp_path / "a.npz")
        assert load_data(tmp_path / "a.npz").sha256 == dataset.sha256
