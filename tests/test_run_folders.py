"""Run folders, locks, and files that are whole or not there."""

import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest

from kdsnn.errors import InputError, UsageError
from kdsnn.files.reading import read_json
from kdsnn.files.writing import write_atomic, write_json
from kdsnn.run_folders import find_run, lock, name_of_run, names_apart, new_run, run_names, runs_root


def made(name: str, age: int) -> Path:
    folder = runs_root() / name
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text("")
    os.utime(folder / "recipe.toml", (1e9 - age, 1e9 - age))
    return folder


def test_the_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_root() == tmp_path / "runs"  # set for all tests
    monkeypatch.setenv("KDSNN_RUNS", "")
    assert runs_root() == Path("runs")


def test_new_runs_have_names_of_their_own() -> None:
    folders = [new_run("mine") for _ in range(5)]
    assert len(set(folders)) == 5
    assert all(re.fullmatch(r"mine-\d{8}-\d{6}(-\d)?", f.name) and f.is_dir() for f in folders)
    assert run_names() == []  # none has a recipe yet


def test_runs_are_found_by_path_by_name_and_as_the_latest() -> None:
    old, new = made("old", age=20), made("new", age=10)
    (runs_root() / "teachers").mkdir()
    assert run_names() == ["new", "old"]
    assert find_run(None) == new
    assert find_run("old") == old
    assert find_run(str(old)) == old


def test_a_run_that_is_not_there_is_answered_with_a_hint() -> None:
    with pytest.raises(InputError, match="there is no run under") as none:
        find_run(None)
    assert "kdsnn distill" in none.value.hint
    made("mnist5k-2conv-20260101-000000", age=1)
    with pytest.raises(InputError, match="there is no run 'mnist5k-2conv-20260101-00000'") as raised:
        find_run("mnist5k-2conv-20260101-00000")
    assert raised.value.hint == "did you mean 'mnist5k-2conv-20260101-000000'?"


@pytest.mark.parametrize(
    "name", ["own.pt", "a/own.PTH", "own.onnx", "own.py", "x.net", "my.toml", "images.npz", "m.nir"]
)
def test_files_of_other_kinds_are_told_what_to_do_with(name: str) -> None:
    made("mine", 0)
    with pytest.raises(UsageError, match=rf"'{name}' is .*, and a model is a run, or a NIR file \(\.nir\)\n.*kdsnn "):
        find_run(name)
    assert find_run(str(made(name, 1))) == runs_root() / name, "a run may have any name"


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match="no run folder can be made") as raised:
        new_run("mine")
    assert "KDSNN_RUNS" in raised.value.hint
    with pytest.raises(InputError, match="there is no run"):
        find_run(None)


def test_a_file_is_written_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.json"
    write_json(path, {"a": [1, "ü"]})
    write_json(path, {"b": 2})
    assert read_json(path) == {"b": 2}
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def interrupted(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a cannot be written: No space left on device"):
        write_atomic(tmp_path / "a", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for path in (tmp_path / "file" / "a", tmp_path / "folder", Path("/proc/none/a"), tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot be written"):
            write_atomic(path, b"new")


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"3", b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == {"a": 1}


def _try_to_lock(folder: Path, answers: "multiprocessing.Queue[str]") -> None:
    try:
        with lock(folder):
            answers.put("held")
    except InputError as error:
        answers.put(error.message)


def asked_elsewhere(folder: Path) -> str:
    """What another process is told when it asks for the lock."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=_try_to_lock, args=(folder, answers))
    process.start()
    answer = answers.get(timeout=60)
    process.join()
    return answer


def test_a_lock_keeps_others_off_until_it_is_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    with lock(folder):
        assert asked_elsewhere(folder) == f"another process is working on {folder}"
    assert asked_elsewhere(folder) == "held"
    with pytest.raises(ZeroDivisionError), lock(folder):
        raise ZeroDivisionError
    with lock(folder):
        pass


def test_a_lock_on_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder that can be written to"), lock(tmp_path / "file"):
        pass


def test_a_name_is_that_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine" / "in")
    assert [name_of_run(Path(path)) for path in (".", "..", "../../link", "x/")] == ["in", "mine", "link", "x"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x", "b/x"], ["a/x", "b/x"]),
        (["a/x", "b/y"], ["x", "y"]),
        (["a/m/model.nir", "b/m/model.nir", "other.nir"], ["a/m/model.nir", "b/m/model.nir", "other.nir"]),
        (["x", "a/x"], ["here/x", "a/x"]),
        (["x", "./x"], ["x", "x"]),
        (["."], ["here"]),
        (["/x", "/a/x"], ["/x", "a/x"]),
    ],
)
def test_what_has_the_same_name_is_told_apart_by_its_path(
    paths: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert names_apart([Path(path) for path in paths]) == names
