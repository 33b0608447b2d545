"""A user's function by its reference: what is loaded, what it is known by, and what is said where it cannot be."""

import sys
from pathlib import Path

import pytest

from kdsnn.errors import InputError
from kdsnn.own_code.functions import anchored, is_reference, load_own
from kdsnn.own_code.source import digest, source_files

NET = "from dataclasses import dataclass\nimport blocks, helpers.deep\n\n@dataclass\nclass Made:\n    size: int\n\n"
NET += "def make(classes, width=2):\n    import later\n    return Made(classes * width + blocks.ADD + later.ADD)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file with all that it imports from beside it."""
    (tmp_path / "helpers").mkdir()
    for name, text in {
        "my_net.py": NET,
        "blocks.py": "ADD = 100",
        "later.py": "ADD = 1000",
        "stranger.py": "raise SystemError",
        "helpers/__init__.py": "",
        "helpers/deep.py": "",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_function_is_loaded_with_what_lies_beside_it_and_leaves_no_trace(folder: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    own = load_own(f"{folder}/my_net.py:make")
    assert own.call(classes=3, input_shape=(1, 8, 8)).size == 1106
    assert own.call(classes=3, width=5).size == 1115
    assert list(own.files) == ["my_net.py", "blocks.py", "helpers/__init__.py", "helpers/deep.py", "later.py"]
    assert own.title == "my_net.py:make"
    assert sys.path == path
    assert {name for name in set(sys.modules) - modules if not name.startswith("kdsnn_own_")} == set()
    assert not list(folder.rglob("*.pyc"))


def test_two_versions_stand_side_by_side_and_have_other_digests(folder: Path) -> None:
    first = load_own(f"{folder}/my_net.py:make")
    (folder / "blocks.py").write_text("ADD = 200")
    second = load_own(f"{folder}/my_net.py:make")
    assert first.call(classes=0).size == 1100
    assert second.call(classes=0).size == 1200
    assert first.sha256 != second.sha256
    assert first.sha256 == digest({**second.files, "blocks.py": b"ADD = 100"})


def test_a_module_that_somebody_else_loaded_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blocks", sys)
    assert load_own(f"{folder}/my_net.py:make").call(classes=0).size == 1100
    assert sys.modules["blocks"] is sys


def test_what_is_installed_is_no_file_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemError")
    (tmp_path / "net.py").write_text("import torch\nimport json\nLINEAR = torch.nn.Linear\n")
    own = load_own(f"{tmp_path}/net.py:LINEAR")
    assert own.value is sys.modules["torch"].nn.Linear
    assert list(own.files) == ["net.py"]


def test_a_function_of_an_installed_module_is_known_by_its_file() -> None:
    own = load_own("textwrap:dedent")
    assert own.call(text="  a") == "a"
    assert (own.folder, list(own.files), own.title) == (None, ["textwrap.py"], "textwrap:dedent")


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("none.py:make", "there is no file"),
        ("broken.py:make", "is no Python"),
        ("raises.py:make", "cannot be loaded: ZeroDivisionError"),
        ("net.py:mak", "did you mean 'make'?"),
        ("no_such_module:make", "there is no module no_such_module"),
        ("no_such_module.nets:make", "no_such_module.nets cannot be imported"),
        ("net.py", "neither FILE.py:FUNCTION nor MODULE:FUNCTION"),
    ],
)
def test_what_cannot_be_loaded_is_named(reference: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def")
    (tmp_path / "raises.py").write_text("1 / 0")
    (tmp_path / "net.py").write_text("def make(): ...")
    with pytest.raises(InputError, match=text.replace("?", r"\?")):
        load_own(anchored(reference, tmp_path))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("def make(size): ...", "asks for 'size'"),
        ("def make(): raise KeyError('x')", "net.py:make failed: KeyError"),
        ("make = 3", "net.py:make is a int"),
    ],
)
def test_what_cannot_be_called_is_named(body: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(body)
    with pytest.raises(InputError, match=text):
        load_own(f"{tmp_path}/net.py:make").call(classes=3)


def test_references_and_names() -> None:
    assert [is_reference(n) for n in ("a.py:f", "a.b:f", "torchvision:resnet18", "cnn", "a:", ":f", "a:1")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip
    assert anchored("a/b.py:f", Path("/x")) == "/x/a/b.py:f"
    assert anchored("/a/b.py:f", Path("/x")) == "/a/b.py:f"
    assert anchored("a.b:f", Path("/x")) == "a.b:f"


def test_a_ring_of_imports_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b")
    (tmp_path / "b.py").write_text("import a")
    assert list(source_files(tmp_path / "a.py")) == ["a.py", "b.py"]
