"""The page about modules, executed from top to bottom in an empty folder."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kdsnn.cli.app import app
from kdsnn.export.nir import read_nir
from tests.pages import blocks, without_figures

PAGE = "docs/modules.md"


def execute(text: str) -> dict[str, object]:
    scope: dict[str, object] = {}
    exec(compile(text, PAGE, "exec"), scope)  # noqa: S102  our own page
    return scope


def test_the_page_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "my_net", None)  # put back as it was
    del sys.modules["my_net"]
    module, training, in_python, one_step, recurrent, in_time, refused = blocks(PAGE, "python")
    (tmp_path / "my_net.py").write_text(module)
    execute(training)
    for line in blocks(PAGE, "sh")[0].strip().splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        if line.startswith("kdsnn convert"):
            (shown,) = (block for block in blocks(PAGE, "text") if block.startswith("my_net.nir"))
            lines = without_figures(shown).strip().splitlines()
            assert without_figures(done.output).strip().splitlines()[-len(lines) :] == lines
            assert float(re.findall(r"integer ([\d.]+)%", done.output)[0]) > 85
    by_command = read_nir(Path("my_net.nir"))
    capsys.readouterr()
    execute(in_python)
    assert read_nir(Path("my_net.nir")).fingerprint() == by_command.fingerprint()
    assert by_command.provenance["module_to_float"] in capsys.readouterr().out
    execute(one_step)
    assert "spikes equal in" in capsys.readouterr().out
    execute(recurrent)
    said_of_it = capsys.readouterr().out
    assert "'recurrence'" in said_of_it
    assert "'subtract-reset'" in said_of_it
    execute(in_time)
    assert capsys.readouterr().out.startswith("10 1 ")
    execute(refused)
    (said,) = (block for block in blocks(PAGE, "text") if block.startswith("the module cannot be lowered"))
    assert capsys.readouterr().out == said
