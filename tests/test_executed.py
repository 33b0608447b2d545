"""Every command and every line of Python that README and the docs show is executed by a test, or says why not."""

import ast
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer
from typer.main import get_command

from kdsnn.cli.app import app
from tests.cli.test_followed_pages import FOLLOWED, FOLLOWED_AT_LENGTH, START
from tests.pages import NOT_EXECUTED, ROOT, all_blocks, blocks, session, why_not_executed

COMMANDS, CODE = ("sh", "bash", "shell", "console"), ("python", "py")
WRONGLY_TYPED: Any = typer.BadParameter.__base__  # click's UsageError, which typer has a copy of
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "benchmarks")
    for path in (ROOT / folder).glob("*.md")
    if any(language in (*COMMANDS, *CODE) for language, _ in all_blocks(path.relative_to(ROOT).as_posix()))
)


@cache
def taken() -> frozenset[str]:
    """The blocks that tests take from pages, as `page: text`.

    A test takes `blocks(PAGE, "sh")` and unpacks it, which fails where the page has more or fewer, or goes through all
    of them, or takes one by its number; and `sessions(PAGE)` likewise.
    """
    found = {f"{page}: {text}" for page in (START, *FOLLOWED, *FOLLOWED_AT_LENGTH) for _, text in all_blocks(page)}
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path.name not in ("test_executed.py", "test_followed_pages.py"):
            found |= set(_taken_by(ast.parse(path.read_text())))
    return frozenset(found)


def _taken_by(tree: ast.Module) -> Iterator[str]:
    names = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    within = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for call in ast.walk(tree):
        if not (
            isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("blocks", "sessions")
        ):
            continue
        page, *language = [a.value if isinstance(a, ast.Constant) else names[a.id] for a in call.args]  # type: ignore[attr-defined]
        texts = blocks(page, *(language or ["console"]))
        holder = within[call]
        if isinstance(holder, ast.Subscript):
            texts = [texts[ast.literal_eval(holder.slice)]]
        yield from (f"{page}: {text}" for text in texts)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_a_test_executes_every_block_of_a_page(page: str) -> None:
    shown = [text for language, text in all_blocks(page) if language in (*COMMANDS, *CODE)]
    lost = [text for text in shown if f"{page}: {text}" not in taken() and not why_not_executed(page, text)]
    assert lost == [], f"no test executes these of {page}, and tests/pages.py gives no reason"


def test_what_readme_shows_stands_on_pages_that_tests_execute() -> None:
    executed = {page: [text for _, text in all_blocks(page) if f"{page}: {text}" in taken()] for page in PAGES}
    texts = [text for page, found in executed.items() for text in found if not why_not_executed(page, text)]
    commands = {command for text in texts for command, _ in session(text)}
    for language, text in all_blocks("README.md"):
        if language in CODE:
            assert text in texts
        elif language in COMMANDS and not why_not_executed("README.md", text):
            assert [command for command, _ in session(text) if command not in commands] == []


@pytest.mark.parametrize(("page", "begin"), NOT_EXECUTED)
def test_what_is_not_executed_is_there(page: str, begin: str) -> None:
    assert [text for _, text in all_blocks(page) if text.startswith(begin)] != []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_kdsnn_can_be_typed_as_it_is_shown(page: str) -> None:
    """Also where it is not executed: its name and its options are there."""
    texts = [text for language, text in all_blocks(page) if language in COMMANDS]
    wrong = [f"{line}: {said}" for text in texts for line, _ in session(text) if (said := _problem(line))]
    assert wrong == []


def _problem(line: str) -> str | None:
    """What is wrong with a command line; None where it can be parsed, or is none of ours."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a line of a shell's loop
        return None
    while words and "=" in words[0]:  # KDSNN_RUNS=/shared/runs kdsnn ...
        words = words[1:]
    if not words or words[0] != "kdsnn" or "$" in line or "..." in line:
        return None
    words = words[1 : words.index("&&")] if "&&" in words else words[1:]
    command: Any = get_command(app)
    try:
        while hasattr(command, "commands"):
            name, *words = words
            if name not in command.commands:
                return f"there is no command {name!r}"
            command = command.commands[name]
        context = command.context_class(command, info_name=line)
        command.make_parser(context).parse_args(list(words))
    except WRONGLY_TYPED as error:
        return error.format_message()
    return None


def test_a_wrong_command_is_found() -> None:
    assert _problem("kdsnn evaluate runs/mine --target gpu") is None
    assert _problem("KDSNN_RUNS=/x kdsnn paper table1 --run && true --nothing") is None
    assert _problem("kdsnn evaluate --targets gpu")
    assert _problem("kdsnn evaluates") == "there is no command 'evaluates'"
