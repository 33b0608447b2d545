"""What scripts and pages name is there: their imports and examples, and the modules and files that their texts name.

No test runs the benchmarks whole, and most examples are only read: a module that moves would leave them behind.
"""

import ast
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [p for folder in (".", "docs", "benchmarks") for p in sorted((ROOT / folder).glob("*.md"))]
SCRIPTS = [p for folder in ("benchmarks", "docs") for p in sorted((ROOT / folder).glob("*.py"))]
NO_MODULES = {"kdsnn.labels"}  # a key of ONNX metadata
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def exists(module: str, name: str) -> bool:
    """Whether `from module import name` works."""
    if find_spec(module) is None:
        return False
    return hasattr(importlib.import_module(module), name) or find_spec(f"{module}.{name}") is not None


def missing_imports(code: str) -> list[str]:
    """Of code's imports from kdsnn, at the top and within functions, those that would fail."""
    wanted = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "kdsnn":
            wanted += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            wanted += [(alias.name, "__name__") for alias in node.names if alias.name.split(".")[0] == "kdsnn"]
    return [f"{module}: {name}" for module, name in wanted if not found(module, name)]


def found(module: str, name: str) -> bool:
    """As `exists`, of a module whose packages may be missing, too."""
    try:
        return exists(module, name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("kdsnn"):
            raise
        return False


def missing_names(text: str) -> list[str]:
    """Of the dotted names of a text, those that are neither a module nor in one."""
    dotted = set(re.findall(r"(?<![\w/.-])kdsnn(?:\.[A-Za-z_]\w*)+", text)) - NO_MODULES
    return sorted(name for name in dotted if not found(*name.rsplit(".", 1)))


def missing_paths(text: str) -> list[str]:
    """Of the paths of a text into the repository, with `.py` or without, those that lead nowhere."""
    paths = set(re.findall(r"(?<![\w/.-])(?:kdsnn|export|targets|tests|benchmarks|docs)/[\w/.-]*\w/?", text))
    return sorted(path for path in paths if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_scripts_import_and_name_is_there(script: Path) -> None:
    assert missing_imports(script.read_text()) == []
    assert missing_paths(script.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_pages_show_and_name_is_there(page: Path) -> None:
    text = page.read_text()
    examples = [code for language, code in FENCED.findall(text) if language == "python"]
    assert [name for code in examples for name in missing_imports(code)] == []
    prose = FENCED.sub("", text)  # an example of a new file names what is not there yet
    assert missing_names(prose) == []
    assert missing_paths(prose) == []


def test_files_that_docstrings_of_the_package_name_are_there() -> None:
    files = [path for folder in ("kdsnn", "export", "targets") for path in (ROOT / folder).rglob("*.py")]
    named = {(path, name) for path in files for name in re.findall(r"`([\w/-]+\.py)`", path.read_text())}
    assert len(named) > 3
    lost = [(path, name) for path, name in named if not (path.parent / name).is_file() and not (ROOT / name).is_file()]
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in lost] == []


def test_names_that_are_not_there_are_found() -> None:
    code = (
        "import kdsnn.nowhere\nfrom kdsnn.errors import InputError, Nothing\ndef f():\n    from kdsnn.no.where import x"
    )
    assert missing_imports(code) == ["kdsnn.nowhere: __name__", "kdsnn.errors: Nothing", "kdsnn.no.where: x"]
    text = (
        "`kdsnn.errors.InputError`, `kdsnn.targets`, `kdsnn.errors.Nothing`, kdsnn/errors.py, kdsnn/nowhere.py, docs/"
    )
    assert missing_names(text) == ["kdsnn.errors.Nothing"]
    assert missing_paths(text) == ["kdsnn/nowhere.py"]
