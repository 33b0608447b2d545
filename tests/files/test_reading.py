"""What a reader raises becomes one error of the file; what is ours, or no fault of the file, stays what it is."""

import zipfile
import zlib
from pathlib import Path
from struct import error as struct_error

import h5py
import numpy as np
import pytest

from kdsnn.data.sources.columns import in_npy, in_npz
from kdsnn.errors import InputError, MissingExtraError, RecipeError
from kdsnn.export.hdf5_guard import Budget, check_hdf5
from kdsnn.export.nir_header import read_header
from kdsnn.files.reading import MOST_JSON, check_unpacked, read_json, reading
from kdsnn.recipes.load import load_recipe


class PanicException(BaseException):
    pass


RAISED = [
    *(
        zipfile.BadZipFile("a"),
        TypeError("a"),
        IndexError("a"),
        RecursionError("a"),
        OverflowError("a"),
        zlib.error("a"),
    ),
    *(UnicodeDecodeError("utf-8", b"a", 0, 1, "a"), struct_error("a"), KeyError("a"), MemoryError(), OSError(5, "a")),
    PanicException("a"),
]


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_reader_raises_names_the_file(raised: BaseException) -> None:
    with pytest.raises(InputError, match=r"one\.npz is broken: \S") as told, reading("one.npz", "is broken"):
        raise raised
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("raised", [MissingExtraError("lz4", "events"), RecipeError("no"), KeyboardInterrupt()])
def test_errors_of_ours_and_interrupts_pass(raised: BaseException) -> None:
    with pytest.raises(type(raised)) as told, reading("one.npz"):
        raise raised
    assert told.value is raised


def test_what_unpacks_to_too_much_is_refused() -> None:
    check_unpacked("a", 2**30, 1)
    check_unpacked("a", 2**34, 2**30)
    with pytest.raises(InputError, match="would unpack to"):
        check_unpacked("a", 2**30 + 1, 2**26 - 1)


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(2**20, np.uint8))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    at = data.rindex(b"PK\x01\x02") + 24  # its size, in the archive's directory
    data[at : at + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match="would unpack to"):
        in_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**200}, {10**200}), }}", "is broken"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -3), }", "is broken"),
        ("{'descr': '|S0', 'fortran_order': False, 'shape': (10000000000,), }", "is broken"),
        ("{'descr': '|u1'", "cannot be read as an array"),
    ],
)
def test_headers_of_arrays_are_checked_before_a_value_is_read(header: str, message: str, tmp_path: Path) -> None:
    text = header.encode() + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(6))
    with pytest.raises(InputError, match=message):
        in_npy(tmp_path / "a.npy")


def test_texts_that_cost_much_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b" " * (MOST_JSON + 1))
    with pytest.raises(InputError, match="has more than"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.toml").write_text("a." * 10_000 + "a = 1")
    with pytest.raises(RecipeError, match="a line has more than 200 dots"):
        load_recipe(tmp_path / "a.toml")
    (tmp_path / "a.json").write_text("[" * 10**5)
    with pytest.raises(InputError, match="nested too deeply"):
        read_json(tmp_path / "a.json")


def chunk_that_unpacks_to_more(file: h5py.File) -> None:
    data = file.create_dataset("a", (16,), "u1", chunks=(16,), compression="gzip")
    data.id.write_direct_chunk((0,), zlib.compress(bytes(10**6)))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (chunk_that_unpacks_to_more, "unpacks to more than its 16 bytes"),
        (lambda file: file.create_dataset("a", (2**26,), "u1", chunks=(1,)), "chunks"),
        (lambda file: file.create_dataset("a", (2**28,), "u1", chunks=(2**20,)), "declares more than"),
        (lambda file: file.create_dataset("a", (4,), "u1", chunks=(4,), compression="lzf"), "not by gzip"),
        (lambda file: file.create_dataset("a", data=["x" * 2**16] * 300, dtype=h5py.string_dtype()), "bytes of text"),
    ],
)
def test_hdf5_is_refused_by_what_it_costs(write: object, message: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write(file)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        check_hdf5(tmp_path / "a.h5", Budget())


@pytest.mark.parametrize("text", ["[" * 10**5, "[]", "{}", '{"timesteps": 1e999}', '{"timesteps": 2.5}', "\x00"])
def test_headers_of_networks_are_checked_before_they_are_believed(text: str) -> None:
    with pytest.raises(InputError, match="its header"):
        read_header(text)
